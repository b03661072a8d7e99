"""What a conversation is made of."""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.passages import Passage

RATE_MIN_S = 0.25

Role = Literal["user", "assistant"]
MessageState = Literal["running", "done", "stopped", "failed"]


def new_id() -> str:
    """Make an id that no other job's history holds, so that histories can be merged."""
    return secrets.token_hex(16)


def is_id(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{32}", text) is not None


@dataclass(frozen=True)
class Conversation:
    """`updated_at` is when it was last used, `deleted_at` when it was deleted: both in Unix seconds."""

    id: str
    title: str
    created_at: float
    updated_at: float
    # Whose it is: the id of the key with which somebody has logged in.
    key_id: str
    # The last message of the branch that is shown.
    leaf_id: str | None = None
    pinned: bool = False
    folder: str = ""
    # System prompt, sampling and the like, as JSON has them.
    settings: dict[str, Any] = field(default_factory=dict)
    deleted_at: float | None = None


@dataclass
class Message:
    """
    A node of a conversation's tree: what one side has said after `parent_id`.

    `failure` is a sentence for the reader when `state` is failed; `rating` is -1, 0 or 1.
    """

    conversation_id: str
    role: Role
    content: str = ""
    id: str = field(default_factory=new_id)
    parent_id: str | None = None
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    state: MessageState = "done"
    failure: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_s: float | None = None
    reasoning_s: float | None = None
    total_s: float | None = None
    created_at: float = field(default_factory=time.time)
    rating: int = 0
    attachments: list[Attachment] = field(default_factory=list)
    # Of a reply: what was read of files that are too long to be read whole.
    sources: list[Passage] = field(default_factory=list)

    @property
    def tokens_per_second(self) -> float | None:
        """Count from the first token on; None where that says nothing: a short reply comes in one or two pieces."""
        if not self.completion_tokens or self.total_s is None or self.first_token_s is None:
            return None
        duration_s = self.total_s - self.first_token_s
        return (self.completion_tokens - 1) / duration_s if duration_s >= RATE_MIN_S else None

    @property
    def can_go_on(self) -> bool:
        """Whether the model can go on where the text ends. Half a thought is nothing that a chat template takes."""
        return bool(self.content) and (self.finish_reason == "length" or self.state in {"stopped", "failed"})

    @property
    def tool_calls_json(self) -> str:
        return json.dumps(self.tool_calls)

    @property
    def attachments_json(self) -> str:
        return json.dumps([attachment.to_json() for attachment in self.attachments])

    @property
    def sources_json(self) -> str:
        return json.dumps([source.to_json() for source in self.sources])


def title_of(text: str) -> str:
    """Take the first line of the first message, cut at 60 characters."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59].rstrip() + "…"

"""What a conversation is made of."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["user", "assistant"]
MessageState = Literal["running", "done", "stopped", "failed"]


def new_id() -> str:
    """Make an id that no other job's history holds, so that histories can be merged."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Conversation:
    id: str
    title: str
    created_at: float
    updated_at: float


@dataclass
class Message:
    """One turn. `failure` is a sentence for the reader when `state` is failed."""

    conversation_id: str
    role: Role
    content: str = ""
    id: str = field(default_factory=new_id)
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

    @property
    def tokens_per_second(self) -> float | None:
        """Count from the first token on; None where that says nothing."""
        if not self.completion_tokens or self.total_s is None or self.first_token_s is None:
            return None
        duration_s = self.total_s - self.first_token_s
        return (self.completion_tokens - 1) / duration_s if duration_s > 0 and self.completion_tokens > 1 else None

    @property
    def tool_calls_json(self) -> str:
        return json.dumps(self.tool_calls)


def title_of(text: str) -> str:
    """Take the first line of the first message, cut at 60 characters."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59].rstrip() + "…"


def messages_for_engine(messages: list[Message]) -> list[dict[str, str]]:
    """
    Say the conversation in the API's words.

    A question whose reply never came is left out: many chat templates refuse two user messages in a row.
    """
    told: list[dict[str, str]] = []
    for message in messages:
        if message.role == "user":
            if told and told[-1]["role"] == "user":
                told.pop()
            told.append({"role": "user", "content": message.content})
        elif message.content and told:
            told.append({"role": "assistant", "content": message.content})
    return told

"""A conversation that was read from a file and is on its way into the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from llm_hoster.chat.exchange.remark import Remark
from llm_hoster.chat.message import Conversation, Message

Source = Literal["ours", "chatgpt", "open_webui"]
TEXT_MAX = 1_000_000
MESSAGES_MAX = 20_000


class NotAConversationError(Exception):
    """Nothing of it can be taken; `remark` says why."""

    def __init__(self, remark: Remark) -> None:
        super().__init__(remark.name)
        self.remark = remark


@dataclass
class Arrival:
    """
    Ids are those of the file. `changed_at` says when each message was changed last, and that of the conversation.

    `remarks` counts what was repaired or left out in it.
    """

    source: Source
    conversation: Conversation
    messages: dict[str, Message]
    changed_at: float
    messages_changed_at: dict[str, float] = field(default_factory=dict)
    remarks: Counter[Remark] = field(default_factory=Counter)

    def repair(self) -> None:
        """Cut what is too long, and the links of messages that stand after themselves."""
        if not self.messages:
            raise NotAConversationError(Remark.EMPTY)
        if len(self.messages) > MESSAGES_MAX:
            raise NotAConversationError(Remark.TOO_LARGE)
        for message in self.messages.values():
            for name in ("content", "reasoning"):
                text = getattr(message, name)
                if len(text) > TEXT_MAX:
                    setattr(message, name, text[: TEXT_MAX - 1] + "…")
                    self.remarks[Remark.CUT] += 1
        for message_id in circular(self.messages.values()):
            self.messages[message_id].parent_id = None
            self.remarks[Remark.CIRCULAR] += 1


def circular(messages: Iterable[Message]) -> list[str]:
    """Name one message of each circle."""
    parents = {message.id: message.parent_id for message in messages}
    found: list[str] = []
    seen_from: dict[str, str] = {}
    for start in parents:
        each: str | None = start
        while each in parents and each not in seen_from:
            seen_from[each] = start
            each = parents[each]
        if each is not None and seen_from.get(each) == start:
            found.append(each)
    return found

"""The part of a long conversation that a page shows: its end, and on request what came before."""

from __future__ import annotations

from dataclasses import dataclass

from llm_hoster.chat.message import Message

LENGTH = 60


@dataclass(frozen=True)
class Window:
    """`earlier_id` is where one begins that has what came before; None where this has the first message."""

    messages: list[Message]
    earlier_id: str | None


def window_of(branch: list[Message], *, at: str = "", before: str = "") -> Window:
    """Take the end of a branch, from the message `at` on where that is longer; or what came `before` a message."""
    places = {message.id: place for place, message in enumerate(branch)}
    end = places.get(before, len(branch))
    start = max(0, min(end - LENGTH, places.get(at, end)))
    return Window(branch[start:end], branch[max(0, start - LENGTH)].id if start else None)

"""
A reply belongs to the server and not to the tab: a thread generates it, and any number of readers follow it.

Readers see a growing list of events and say from which on they want them, so a reload or a second tab misses nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from llm_hoster.chat.delta import Delta, merge_tool_calls
from llm_hoster.chat.markdown import find_block_end, render_markdown
from llm_hoster.chat.message import Message

EventName = Literal["reasoning", "text", "block", "done"]


@dataclass(frozen=True)
class Event:
    """What a reader is told; `number` counts from 1 and is where the next reading begins."""

    number: int
    name: EventName
    data: Any


@dataclass(frozen=True)
class Snapshot:
    """A running reply as a page shows it: finished blocks as HTML, the rest as text, and the events so far."""

    html: str
    tail: str
    reasoning: str
    number: int


class Reply:
    """The message being written, its events, and a way to stop it."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.started = time.monotonic()
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._html: list[str] = []
        self._block_end = 0
        self._is_saved = True

    @property
    def id(self) -> str:
        return self.message.id

    @property
    def is_running(self) -> bool:
        return self.message.state == "running"

    def add(self, delta: Delta) -> None:
        """Take a piece from vLLM. The text event comes before the block's, so that no rendering delays a token."""
        with self._changed:
            if not self.is_running:
                return
            self._note_times(delta)
            message = self.message
            message.finish_reason = delta.finish_reason or message.finish_reason
            if delta.usage is not None:
                message.prompt_tokens = delta.usage.get("prompt_tokens")
                message.completion_tokens = delta.usage.get("completion_tokens")
            merge_tool_calls(message.tool_calls, delta.tool_calls)
            if delta.reasoning:
                message.reasoning += delta.reasoning
                self._tell("reasoning", delta.reasoning)
            if delta.content:
                message.content += delta.content
                self._tell("text", delta.content)
        if "\n" in message.content[self._block_end :]:
            self._end_blocks()

    def finish(self, state: Literal["done", "stopped", "failed"], failure: str | None = None) -> None:
        """Close the reply once; what comes later changes nothing. Its readers hear of it by `tell_end`."""
        with self._changed:
            if not self.is_running:
                return
            self.message.total_s = time.monotonic() - self.started
            self.message.failure = failure
            self.message.state = state

    def tell_end(self) -> None:
        """Say it when the reply is saved: nobody shall see an end that is lost when all of us is killed now."""
        with self._changed:
            self._tell("done", None)

    def snapshot(self) -> Snapshot:
        with self._changed:
            tail = self.message.content[self._block_end :]
            return Snapshot("".join(self._html), tail, self.message.reasoning, len(self._events))

    def read(self, number: int, *, heartbeat_s: float) -> Iterator[Event | None]:
        """Follow the reply from after event `number` to its end; None each `heartbeat_s` of silence."""
        while True:
            with self._changed:
                if len(self._events) <= number:
                    self._changed.wait(heartbeat_s)
                news = self._events[number:]
            if not news:
                yield None
            for event in joined(news):
                number = event.number
                yield event
                if event.name == "done":
                    return

    def take_unsaved(self) -> bool:
        """Say whether there is something new to save, and count it as saved."""
        with self._changed:
            unsaved, self._is_saved = not self._is_saved, True
            return unsaved

    def _end_blocks(self) -> None:
        end = find_block_end(self.message.content, self._block_end)
        if end == self._block_end:
            return
        html = render_markdown(self.message.content[self._block_end : end])
        with self._changed:
            if not self.is_running:
                return
            self._html.append(html)
            self._block_end = end
            self._tell("block", {"html": html, "tail": self.message.content[end:]})

    def _note_times(self, delta: Delta) -> None:
        now_s = time.monotonic() - self.started
        message = self.message
        if message.first_token_s is None and (delta.content or delta.reasoning or delta.tool_calls):
            message.first_token_s = now_s
        if message.reasoning and message.reasoning_s is None and (delta.content or delta.finish_reason):
            message.reasoning_s = now_s - (message.first_token_s or 0.0)

    def _tell(self, name: EventName, data: Any) -> None:
        self._events.append(Event(len(self._events) + 1, name, data))
        self._is_saved = False
        self._changed.notify_all()


def joined(events: list[Event]) -> Iterator[Event]:
    """Join neighbouring pieces of text: a late reader gets them in one."""
    pending: Event | None = None
    for event in events:
        if pending is not None and event.name == pending.name and event.name in {"text", "reasoning"}:
            pending = Event(event.number, event.name, pending.data + event.data)
            continue
        if pending is not None:
            yield pending
        pending = event
    if pending is not None:
        yield pending

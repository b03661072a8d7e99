"""
A reply belongs to the server and not to the tab: a thread generates it, and any number of readers follow it.

Readers see a growing list of events and say from which on they want them, so a reload or a second tab misses nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from llm_hoster.chat.delta import Delta, merge_tool_calls
from llm_hoster.chat.growing_prose import GrowingProse, Growth
from llm_hoster.chat.message import Message
from llm_hoster.chat.open_block import OpenBlock, join
from llm_hoster.chat.shown_text import Kind
from llm_hoster.chat.thoughts import Thoughts
from llm_hoster.usage.tokens import Tokens, tokens_of

EventName = Literal["reasoning", "text", "block", "facts", "done"]
# How often a reader is told how far the reply is; a rate over less time says nothing.
FACTS_S = 0.5
# The id of the message, which of its texts, the place in it, and the piece.
WriteShown = Callable[[str, Kind, int, str], None]


def _keep_nothing(*_: object) -> None:
    """Without a history, what was shown is nowhere else."""


@dataclass(frozen=True)
class Event:
    """What a reader is told; `number` counts from 1 and is where the next reading begins."""

    number: int
    name: EventName
    data: Any


@dataclass(frozen=True)
class Facts:
    """What is known of a running reply, in the words of a finished one. Tokens and rate: None until they say much."""

    completion_tokens: int | None
    tokens_per_second: float | None
    first_token_s: float
    # Seconds so far; None where it does not think, or no more.
    thinking_s: float | None
    # The one that it is asking for, whose arguments nobody sees before they are whole.
    tool: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """A running reply as a page shows it: finished blocks, the one that is not, and how many events made them."""

    html: str
    tail: str
    rest: str
    reasoning: str
    number: int
    facts: Facts | None = None


class Reply:
    """The message being written, its events, and a way to stop it."""

    def __init__(self, message: Message, key_id: str, write_shown: WriteShown = _keep_nothing) -> None:
        """`write_shown` is called with each piece of text before readers see it."""
        self.message = message
        self.key_id = key_id
        self.started = time.monotonic()
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._prose = GrowingProse()
        self._html: list[str] = []
        self._write_shown = write_shown
        self._block = OpenBlock()
        self._block_start = 0
        if message.content and (growth := self._prose.add(message.content)) is not None:
            self._grow(growth)
        self._thoughts = Thoughts(is_answer=bool(message.content))
        # Pieces of text that came, and the tokens as the engine tells them at the end. It could tell them with each
        # piece, but then many of its parsers would look through all tokens of the reply each time.
        self.deltas = 0
        self.tokens: Tokens | None = None
        self._facts: Facts | None = None
        self._facts_at = 0.0

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
            delta = self._thoughts.cut(delta)
            self._note_times(delta)
            self.deltas += bool(delta.content or delta.reasoning or delta.tool_calls)
            message = self.message
            message.finish_reason = delta.finish_reason or message.finish_reason
            if delta.usage is not None:
                self.tokens = tokens_of(delta.usage)
                message.prompt_tokens = delta.usage.get("prompt_tokens")
                message.completion_tokens = delta.usage.get("completion_tokens")
            merge_tool_calls(message.tool_calls, delta.tool_calls)
            if delta.reasoning:
                offset = len(message.reasoning)
                message.reasoning += delta.reasoning
                self._write_shown(message.id, "reasoning", offset, delta.reasoning)
                self._tell("reasoning", delta.reasoning)
            if delta.content:
                offset = len(message.content)
                message.content += delta.content
                self._write_shown(message.id, "text", offset, delta.content)
                self._tell("text", delta.content)
            self._note_facts()
        growth = self._prose.add(delta.content) if delta.content else None
        if growth is not None:
            self._grow(growth)

    def finish(self, state: Literal["done", "stopped", "failed"], failure: str | None = None) -> None:
        """Close the reply once; what comes later changes nothing. Its readers hear of it by `tell_end`."""
        with self._changed:
            if not self.is_running:
                return
            self.message.total_s = time.monotonic() - self.started
            self.message.failure = failure
            if self.message.completion_tokens is None and self.deltas:
                self.message.completion_tokens = self.deltas
            self.message.state = state

    def tell_end(self) -> None:
        """Say it when the reply is saved: nobody shall see an end that is lost when all of us is killed now."""
        with self._changed:
            self._tell("done", None)

    def snapshot(self) -> Snapshot:
        with self._changed:
            tail, rest = self._block.render_unfinished(self.message.content[self._block_start :])
            return Snapshot("".join(self._html), tail, rest, self.message.reasoning, len(self._events), self._facts)

    def read(self, number: int, *, heartbeat_s: float) -> Iterator[Event | None]:
        """
        Follow the reply from after event `number` to its end; None each `heartbeat_s` of silence.

        Facts are no part of the story: they come with other events, or alone while a tool is asked for, have the number
        of the last event, and only the newest are told.
        """
        told: Facts | None = None
        while True:
            with self._changed:
                if len(self._events) <= number:
                    self._changed.wait(heartbeat_s)
                news, facts = self._events[number:], self._facts
            has_new_facts = facts is not None and facts is not told and bool(news or facts.tool)
            if not news and not has_new_facts:
                yield None
            for event in joined(news):
                number = event.number
                yield event
                if event.name == "done":
                    return
            if has_new_facts:
                told = facts
                yield Event(number, "facts", facts)

    def _grow(self, growth: Growth) -> None:
        with self._changed:
            if not self.is_running:
                return
            if growth.parts:
                self._html[-1:] = [join("".join(self._html[-1:]), growth.parts)]
            if growth.html:
                self._html.append(growth.html)
            self._block = growth.block
            self._block_start += growth.length
            changes = {"parts": growth.parts, "html": growth.html, "tail": growth.tail, "rest": growth.rest}
            self._tell("block", changes | {"joins": growth.block.joins})

    def _note_times(self, delta: Delta) -> None:
        now_s = time.monotonic() - self.started
        message = self.message
        if message.first_token_s is None and (delta.content or delta.reasoning or delta.tool_calls):
            message.first_token_s = now_s
        if message.reasoning and message.reasoning_s is None and (delta.content or delta.finish_reason):
            message.reasoning_s = now_s - (message.first_token_s or 0.0)

    def _note_facts(self) -> None:
        first_token_s, message = self.message.first_token_s, self.message
        now_s = time.monotonic() - self.started
        if first_token_s is None or (self._facts is not None and now_s - self._facts_at < FACTS_S):
            return
        is_first, self._facts_at = self._facts is None, now_s
        self._facts = Facts(
            completion_tokens=None if is_first else self.deltas,
            tokens_per_second=None if is_first else (self.deltas - 1) / (now_s - first_token_s),
            first_token_s=first_token_s,
            thinking_s=now_s - first_token_s if message.reasoning and message.reasoning_s is None else None,
            tool=message.tool_calls[-1]["name"] if message.tool_calls else None,
        )
        if self._facts.tool is not None:
            self._changed.notify_all()

    def _tell(self, name: EventName, data: Any) -> None:
        self._events.append(Event(len(self._events) + 1, name, data))
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

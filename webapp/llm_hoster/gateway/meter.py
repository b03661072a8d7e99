"""
What passes by on the way from vLLM to the client: the first byte, the events, and the usage at the end.

A stream is searched and never parsed: only one event has the usage. vLLM sends it because the gateway asks for it, and
a client that has not asked does not get it.
"""

from __future__ import annotations

import time

from llm_hoster.usage.tokens import USAGE, Tokens, tokens_in

EVENT_END = b"\n\n"
# The last event of completions, whose choices have all ended before. In a text of the model the quotes would have
# backslashes, here and below.
NO_CHOICES = b'"choices":[]'
ERROR = b'"error":{'
# An event that has not ended after so many bytes goes on as it is.
HELD_MAX_BYTES = 1024 * 1024
# The usage is at the beginning of some bodies and at the end of others.
EDGE_BYTES = 16384


class EventMeter:
    """Of a stream of events. `events` have a token each, or several where vLLM had them ready together."""

    def __init__(self, *, hides_usage: bool) -> None:
        self.first_byte_at: float | None = None
        self.events = 0
        # Whether all has come that a client can want of it.
        self.is_final = False
        self._hides_usage = hides_usage
        self._held = b""
        self._with_usage = b""
        self._last = self._before = b""

    def take(self, chunk: bytes) -> bytes:
        """Give what is to be passed on now, which is the chunk itself for nearly all of them."""
        if self._held or chunk[-2:] != EVENT_END:
            chunk = self._whole_events(chunk)
        if USAGE in chunk:
            self._with_usage = chunk
            if NO_CHOICES in chunk:
                self.is_final = True
                if self._hides_usage:
                    return _without_event(chunk)
        elif chunk[:1] == b":" or not chunk:
            return chunk  # A sign of life, of vLLM and not of the model.
        if not self.events:
            self.first_byte_at = time.monotonic()
        self.events += 1
        self._before, self._last = self._last, chunk
        return chunk

    def rest(self) -> bytes:
        """Give what was held back of an event that never ended."""
        held, self._held = self._held, b""
        return held

    def tokens(self) -> Tokens | None:
        return tokens_in(self._with_usage)

    @property
    def ends_with_error(self) -> bool:
        """Whether vLLM has said so in the stream, whose status was sent long before."""
        return ERROR in self._last or ERROR in self._before

    def _whole_events(self, chunk: bytes) -> bytes:
        chunk = self._held + chunk
        end = chunk.rfind(EVENT_END) + len(EVENT_END)
        if end < len(EVENT_END):
            end = 0 if len(chunk) < HELD_MAX_BYTES else len(chunk)
        self._held = chunk[end:]
        return chunk[:end]


class BodyMeter:
    """Of a body in one piece, which may be large."""

    is_final = False
    ends_with_error = False

    def __init__(self) -> None:
        self.first_byte_at: float | None = None
        self.events = 0
        self._head = self._tail = b""

    def take(self, chunk: bytes) -> bytes:
        if self.first_byte_at is None:
            self.first_byte_at = time.monotonic()
            self._head = chunk[:EDGE_BYTES]
        self._tail = (self._tail + chunk)[-EDGE_BYTES:]
        return chunk

    def rest(self) -> bytes:
        return b""

    def tokens(self) -> Tokens | None:
        return tokens_in(self._tail) or tokens_in(self._head)


Meter = EventMeter | BodyMeter


def _without_event(chunk: bytes) -> bytes:
    """Cut out the event without choices; others that came in the same piece stay."""
    mark = chunk.find(NO_CHOICES)
    begin = chunk.rfind(EVENT_END, 0, mark) + len(EVENT_END)
    end = chunk.find(EVENT_END, mark) + len(EVENT_END)
    return chunk[: begin if begin >= len(EVENT_END) else 0] + chunk[end if end >= len(EVENT_END) else len(chunk) :]

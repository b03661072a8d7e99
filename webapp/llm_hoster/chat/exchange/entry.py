"""
The conversations of a JSON file, one after the other, in memory that does not depend on the file's length.

ijson tells of each value as it comes. A conversation that is too large or too deep is read to its end and not kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import ijson
from ijson.common import ObjectBuilder

CONVERSATIONS = "conversations"
# Of one conversation: its letters, and this many for each value.
WEIGHT_MAX = 48 * 2**20
VALUE_WEIGHT = 64
DEPTH_MAX = 60
# What may come without a value: the parser keeps it all.
SILENCE_MAX_BYTES = 64 * 2**20
PIECE_BYTES = 64 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
STARTS = {"start_map", "start_array"}
ENDS = {"end_map", "end_array"}
# The parser hands numbers of thousands of digits to Python, which refuses them.
FAULTS = (ijson.JSONError, ValueError, SystemError, ArithmeticError)

Events = Iterator[tuple[str, Any]]


class Readable(Protocol):
    def read(self, length: int = -1, /) -> bytes: ...


class BrokenFileError(Exception):
    """From here on the file is not JSON."""


@dataclass(frozen=True)
class Entry:
    """`value` is None where `is_too_large`."""

    value: Any
    is_too_large: bool = False


# Half a letter that stands alone: the parser takes the first half for "?", but not the second. The other alternatives
# are what it must not be found in.
HALVES = re.compile(rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][c-fC-F][0-9a-fA-F]{2})")
HALVES_LENGTH = 12
PIECES_MAX = 8


@dataclass
class Watched:
    """A file that is read piece by piece; `count` is what was read since the last value."""

    file: Readable
    count: int = 0
    has_begun: bool = False

    def read(self, length: int = -1) -> bytes:
        piece = self.file.read(length)
        if not self.has_begun and piece:
            self.has_begun = True
            piece = piece.removeprefix(BYTE_ORDER_MARK) or self.file.read(length)
        # No piece ends within a letter, unless somebody means it to.
        for _ in range(PIECES_MAX):
            if b"\\" in piece[-HALVES_LENGTH:]:
                piece += self.file.read(PIECE_BYTES)
        self.count += len(piece)
        if self.count > SILENCE_MAX_BYTES:
            raise ValueError("a value is too long")
        return HALVES.sub(lambda match: b"\\ufffd" if match[1] else match[0], piece)


@dataclass
class Weight:
    """What was kept of one conversation."""

    sum: int = 0

    def add(self, value: Any) -> bool:
        """Count a value in; say whether it may be kept."""
        self.sum += VALUE_WEIGHT + (len(value) if isinstance(value, str) else 0)
        return self.sum <= WEIGHT_MAX


@dataclass
class EntryReader:
    """`head` has what stands beside the conversations in a file that is an object."""

    file: Readable
    head: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Entry]:
        """Raise BrokenFileError when the rest cannot be read."""
        watched = Watched(self.file)
        try:
            yield from self._read(_told(watched))
        except FAULTS as error:
            raise BrokenFileError from error

    def _read(self, events: Events) -> Iterator[Entry]:
        event, _ = next(events)
        if event == "start_array":
            yield from _elements(events)
        elif event == "start_map":
            yield from self._values(events)
        else:
            raise ValueError("neither a list nor an object")
        for _ in events:
            pass

    def _values(self, events: Events) -> Iterator[Entry]:
        weight, is_list = Weight(), False
        for event, key in events:
            if event == "end_map":
                break
            weight.add(key)
            event, value = next(events)
            if key == CONVERSATIONS and event == "start_array":
                is_list = True
                yield from _elements(events)
            else:
                entry = _build(events, event, value, weight)
                if not entry.is_too_large:
                    self.head[key] = entry.value
        if not is_list:
            yield Entry(None if weight.sum > WEIGHT_MAX else self.head, is_too_large=weight.sum > WEIGHT_MAX)


def _told(watched: Watched) -> Events:
    for event, value in ijson.basic_parse(watched, buf_size=PIECE_BYTES):
        watched.count = 0
        yield event, value


def _elements(events: Events) -> Iterator[Entry]:
    for event, value in events:
        if event == "end_array":
            return
        yield _build(events, event, value, Weight())


def _build(events: Events, event: str, value: Any, weight: Weight) -> Entry:
    builder, depth, is_kept = ObjectBuilder(), 0, True
    while True:
        depth += (event in STARTS) - (event in ENDS)
        if is_kept and weight.add(value) and depth <= DEPTH_MAX:
            builder.event(event, _plain(value))
        else:
            is_kept, builder = False, ObjectBuilder()
        if depth == 0:
            return Entry(builder.value, False) if is_kept else Entry(None, is_too_large=True)
        event, value = next(events)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        number = float(value)
        return number if math.isfinite(number) else None
    return value

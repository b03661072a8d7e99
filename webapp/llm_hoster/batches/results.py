"""
The answers of a batch on their way to its two files.

Each session that works at a batch appends to files of its own, line by line in OpenAI's format: a kill costs what was
in flight, and nothing that another session has written. The id of an answer has the number of its line, so that the
next session knows by the first bytes of each what need not be asked again.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal

from llm_hoster.batches.batch import Batch
from llm_hoster.batches.line import Line

Kind = Literal["output", "error"]
KINDS: tuple[Kind, Kind] = ("output", "error")
UNKNOWN, COMPLETED, FAILED = range(3)
STATES = {"output": COMPLETED, "error": FAILED}
NUMBER = re.compile(rb'\{"id": "batch_req_[0-9a-f]{32}_([0-9]{1,9})"')
EXPIRED = {"code": "batch_expired", "message": "This request was not answered before the batch expired."}


def answered_line(batch: Batch, line: Line, status: int, request_id: str, body: bytes) -> bytes:
    """`body` is JSON and comes as it is, in one line."""
    head = json.dumps({"status_code": status, "request_id": request_id}).removesuffix("}")
    response = head.encode() + b', "body": ' + body + b"}"
    return _line(batch, line, response, b"null")


def failed_line(batch: Batch, line: Line, error: dict[str, str]) -> bytes:
    return _line(batch, line, b"null", json.dumps(error).encode())


def _line(batch: Batch, line: Line, response: bytes, error: bytes) -> bytes:
    head = json.dumps({"id": f"batch_req_{batch.hex}_{line.number}", "custom_id": line.custom_id}).removesuffix("}")
    return head.encode() + b', "response": ' + response + b', "error": ' + error + b"}\n"


class Part:
    """What one session writes of the answers of one kind. The file is there from the first answer on."""

    def __init__(self, folder: Path, kind: Kind, token: str) -> None:
        self._path = folder / f"{kind}-{token}.jsonl"
        self._descriptor: int | None = None
        self._is_synced = True

    def append(self, text: bytes) -> None:
        """Write all of it or, raising OSError, nothing: half a line would spoil the next."""
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        begin = os.fstat(self._descriptor).st_size
        view = memoryview(text)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, begin)
            raise
        self._is_synced = False

    def sync(self) -> None:
        """Bring to the disk what was written: with the node, too, no more is lost than since the last time."""
        if self._descriptor is not None and not self._is_synced:
            os.fsync(self._descriptor)
            self._is_synced = True

    def close(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def make_parts(folder: Path) -> dict[Kind, Part]:
    token = secrets.token_hex(8)
    return {kind: Part(folder, kind, token) for kind in KINDS}


def finished_lines(folder: Path, last_number: int) -> bytearray:
    """Give the state of each line by its number, from all that any session has written."""
    states = bytearray(last_number + 1)
    for kind in reversed(KINDS):  # An answer counts more than a failure.
        for number, _ in _answers(folder, kind):
            if number <= last_number:
                states[number] = STATES[kind]
    return states


def merge(folder: Path, kind: Kind, states: bytearray, target: IO[bytes]) -> int:
    """Write each answer of this kind once; give their number. Two sessions that worked at once may have the same."""
    written = bytearray(len(states))
    for number, text in _answers(folder, kind):
        if number < len(states) and states[number] == STATES[kind] and not written[number]:
            target.write(text)
            written[number] = 1
    return sum(written)


def remove_parts(folder: Path) -> None:
    for path in _paths(folder, *KINDS):
        path.unlink(missing_ok=True)


def _answers(folder: Path, kind: Kind) -> Iterator[tuple[int, bytes]]:
    """Leave out what a kill has cut off."""
    for path in _paths(folder, kind):
        with path.open("rb") as file:
            for text in file:
                match = NUMBER.match(text)
                if match is not None and text.endswith(b"}\n"):
                    yield int(match[1]), text


def _paths(folder: Path, *kinds: Kind) -> list[Path]:
    return [path for kind in kinds for path in sorted(folder.glob(f"{kind}-*.jsonl"))]

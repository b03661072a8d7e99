"""
What readers have seen of running replies since these were last saved.

A reply is saved whole, so not at every word. Each word is written here before it is shown, at the end of a file: that
costs some microseconds, and the kernel keeps it when the process is killed. There are two files by turns: what one has
is not needed any more when all replies were saved after the turn to the other.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Literal

Kind = Literal["text", "reasoning"]


class ShownText:
    """Any thread may write; one alone turns. They raise OSError where the disk takes no more."""

    def __init__(self, path: Path) -> None:
        """Begin anew beside the history at `path`."""
        self._paths = shown_paths(path)
        self._files = [_open_empty(each) for each in self._paths]
        self._turn = 0
        self._is_used = [False, False]

    def write(self, message_id: str, kind: Kind, offset: int, text: str) -> None:
        """Write what stands at `offset` of a message's text. The message has it already."""
        turn = self._turn
        self._is_used[turn] = True
        self._files[turn].write(json.dumps([message_id, kind, offset, text]).encode() + b"\n")

    def turn(self) -> None:
        """Write to the other file from now on."""
        self._turn = 1 - self._turn

    def forget(self) -> None:
        """All replies were saved since the last turn: empty the file before it."""
        if self._is_used[1 - self._turn]:
            self._is_used[1 - self._turn] = False
            self._files[1 - self._turn].truncate(0)

    def close(self, *, is_needed: bool) -> None:
        for file, path in zip(self._files, self._paths, strict=True):
            file.close()
            if not is_needed:
                path.unlink(missing_ok=True)

    @staticmethod
    def read(path: Path) -> ReadText:
        lines: list[bytes] = []
        for each in shown_paths(path):
            with contextlib.suppress(FileNotFoundError):
                lines += each.read_bytes().splitlines()
        return ReadText(lines)


class ReadText:
    """What a killed process has left."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._pieces: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for line in lines:
            # The last line may be half of one.
            with contextlib.suppress(ValueError, TypeError):
                message_id, kind, offset, text = json.loads(line)
                self._pieces[message_id, kind].append((int(offset), str(text)))

    def complete(self, message_id: str, kind: Kind, saved: str) -> str:
        for offset, text in sorted(self._pieces[message_id, kind]):
            if offset <= len(saved) < offset + len(text):
                saved = saved[:offset] + text
        return saved


def shown_paths(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}-shown-{number}") for number in range(2)]


def _open_empty(path: Path) -> FileIO:
    return FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600), "ab")

"""The state of the tunnel in one line: the same line of a terminal, or a new one for each change elsewhere."""

from __future__ import annotations

import shutil
from typing import TextIO


class StatusLine:
    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._said = ""

    def say(self, text: str) -> None:
        if text == self._said:
            return
        self._said = text
        if self._out.isatty():
            width = shutil.get_terminal_size().columns - 1
            self._out.write(f"\r\x1b[K{text[:width]}")
        else:
            self._out.write(f"{text}\n")
        self._out.flush()

    def end(self) -> None:
        if self._said and self._out.isatty():
            self._out.write("\n")
            self._out.flush()

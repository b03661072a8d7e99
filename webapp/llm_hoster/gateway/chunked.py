"""The chunks of an HTTP body (RFC 9112, 7.1), taken out of bytes as they come."""

from __future__ import annotations

import re

SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[^\r\n]*)?\r\n")
SIZE_LINE_MAX_BYTES = 256
LINE_END = b"\r\n"


class ChunkedBody:
    """
    Holds back nothing of a chunk that has not come whole.

    `is_done` after the last chunk, `is_garbage` after what is none; neither reads on.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.is_garbage = False
        self._left = 0
        self._is_at_end = False
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Give what the chunks hold, one piece for each."""
        data = self._held + data
        pieces = []
        position = 0
        while not self.is_done and not self.is_garbage:
            if self._left:
                piece = data[position : position + self._left]
                if not piece:
                    break
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                self._is_at_end = not self._left
                continue
            read = self._read_end(data, position) if self._is_at_end else self._read_size(data, position)
            if not read:
                break
            position += read
        self._held = data[position:]
        return pieces

    def _read_end(self, data: bytes, position: int) -> int:
        end = data[position : position + len(LINE_END)]
        self.is_garbage = not LINE_END.startswith(end)
        if end != LINE_END:
            return 0
        self._is_at_end = False
        return len(LINE_END)

    def _read_size(self, data: bytes, position: int) -> int:
        line = SIZE_LINE.match(data, position)
        if line is None:
            self.is_garbage = b"\n" in data[position:] or len(data) - position > SIZE_LINE_MAX_BYTES
            return 0
        self._left = int(line[1], 16)
        self.is_done = not self._left
        return line.end() - position

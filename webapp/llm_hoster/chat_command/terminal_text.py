"""
Texts of a model for a terminal. Its words may have been written by somebody else: nothing in them steers the terminal.
"""

from __future__ import annotations

import re

# An escape sequence as terminals know them (ECMA-48): a string up to its end, a control sequence, a short one.
ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
# Without these, emoji and some scripts fall apart.
JOINERS = "\u200c\u200d"


def plain(text: str) -> str:
    """Take out escape sequences, other control characters, and marks that turn the direction of what follows."""
    kept = ESCAPE_SEQUENCE.sub("", text.replace("\r\n", "\n"))
    return "".join(each if each.isprintable() or each in "\n\t" + JOINERS else _instead(each) for each in kept)


def _instead(character: str) -> str:
    """Spaces of other widths count as not printable."""
    return " " if character.isspace() else ""


class PlainPieces:
    """A text that comes in pieces, which may end in the middle of an escape sequence."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        text = self._held + piece
        self._held = ""
        begin = max(text.rfind(mark) for mark in "\x1b\x90\x98\x9b\x9d\x9e\x9f")
        if begin >= 0 and _is_open(text[begin:]):
            text, self._held = text[:begin], text[begin:]
        return plain(text)

    def end(self) -> str:
        held, self._held = self._held, ""
        return plain(held)


def _is_open(text: str) -> bool:
    """Say whether a sequence reaches to the end of the text, so that more of it may come."""
    match = ESCAPE_SEQUENCE.match(text)
    return match is not None and match.end() == len(text) and len(text) < 4096

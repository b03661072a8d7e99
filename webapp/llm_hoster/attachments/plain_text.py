"""Bytes to text: UTF-8, UTF-16 or UTF-32 with a mark or by their look, else Windows' Latin-1."""

from __future__ import annotations

import codecs
import re
from itertools import islice

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LOOKED_AT_BYTES = 4096
# Not tab, line feed, form feed, return, and the escape of coloured logs; U+FFFD is what a decoder could not read.
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd\ufffe\uffff]")
# A log may have lost a few bytes; a program or an archive has a tenth of them and more.
CONTROL_MAX_SHARE = 0.01
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def decode_text(data: bytes) -> str | None:
    """Give clean text, or None where the bytes are none."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _as_text(data, encoding)
    wide = _wide_encoding(data)
    for encoding in (wide, "utf-8") if wide else ("utf-8",):
        text = _as_text(data, encoding)
        if text is not None:
            return text
    return _as_text(data, "cp1252", errors="replace")


def clean(text: str) -> str:
    """Take out what no program should be sent: control characters, halves of characters, other systems' line ends."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return CONTROL.sub(REPLACEMENT, whole.replace("\r\n", "\n").replace("\r", "\n"))


def _as_text(data: bytes, encoding: str, errors: str = "strict") -> str | None:
    try:
        text = data.decode(encoding, errors)
    except UnicodeDecodeError:
        return None
    borne = int(CONTROL_MAX_SHARE * len(text))
    if any(True for _ in islice(CONTROL.finditer(text), borne, None)):
        return None
    return clean(text)


def _wide_encoding(data: bytes) -> str | None:
    """Every second byte of European text in UTF-16 is zero, and hardly any of the others."""
    head = data[:LOOKED_AT_BYTES]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > 0.4 * len(head) / 2 and even < 0.02 * len(head):
        return "utf-16-le"
    if even > 0.4 * len(head) / 2 and odd < 0.02 * len(head):
        return "utf-16-be"
    return None

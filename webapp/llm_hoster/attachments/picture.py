"""Pictures: told by their first bytes and measured by their header; never decoded here."""

from __future__ import annotations

import io
import struct

import imagesize

from llm_hoster.attachments.content import Content

MEDIA_TYPES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
# A camera's header has some tens of parts, each read in two or three times.
READS_MAX = 10_000


def media_type_of(data: bytes) -> str | None:
    """Give None for what is no picture that is taken."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for mark, media_type in MEDIA_TYPES if data.startswith(mark)), None)


def read_picture(data: bytes, media_type: str) -> Content | None:
    """Give None where the header is damaged."""
    try:
        width, height = imagesize.get(_Header(data))
    except (ValueError, TypeError, IndexError, OSError, struct.error):
        return None
    if width < 1 or height < 1:
        return None
    return Content("picture", media_type=media_type, width=int(width), height=int(height))


class _Header(io.BytesIO):
    """Ends where a header of millions of empty parts would keep the app busy."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > READS_MAX:
            raise ValueError("too many parts")
        return super().read(size)

"""The conversations in an uploaded file, which is JSON or an archive with JSON in it."""

from __future__ import annotations

import mmap
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from llm_hoster.chat.exchange.entry import Readable
from llm_hoster.chat.exchange.remark import Ending

ARCHIVE = b"PK\x03\x04"
# Each file of an archive has one such mark in the list at its end, which is read whole.
LISTED = b"PK\x01\x02"
LISTED_MAX = 50_000
UNPACKED_MAX_BYTES = 2**30
# Large exports of ChatGPT have conversations-000.json and so on.
NAME = re.compile(r"(?:.*/)?conversations(?:-\d{1,5})?\.json", re.DOTALL)
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError)


class ArchiveError(Exception):
    """It cannot be unpacked, or not further; `ending` says why."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.name)
        self.ending = ending


def is_archive(file: IO[bytes]) -> bool:
    file.seek(0)
    head = file.read(len(ARCHIVE))
    file.seek(0)
    return head == ARCHIVE


def members(file: IO[bytes]) -> Iterator[Readable]:
    """Open the files with conversations, one after the other; raise ArchiveError."""
    _require_few(file)
    try:
        with zipfile.ZipFile(file) as archive:
            found = [each for each in archive.infolist() if NAME.fullmatch(each.filename)]
            if not found:
                raise ArchiveError(Ending.NO_CONVERSATIONS)
            left = UNPACKED_MAX_BYTES
            for each in sorted(found, key=lambda info: info.filename):
                if each.compress_type not in METHODS:
                    raise ArchiveError(Ending.ARCHIVE)
                with archive.open(each) as unpacked:
                    bounded = Bounded(unpacked, left)
                    yield bounded
                    left = bounded.left
    except FAULTS as error:
        raise ArchiveError(Ending.ARCHIVE) from error


class Bounded:
    """A file of which only so much is read."""

    def __init__(self, file: IO[bytes], left: int) -> None:
        self._file = file
        self.left = left

    def read(self, length: int = -1) -> bytes:
        try:
            piece = self._file.read(length)
        except FAULTS as error:
            raise ArchiveError(Ending.ARCHIVE) from error
        self.left -= len(piece)
        if self.left < 0:
            raise ArchiveError(Ending.BOMB)
        return piece


def _require_few(file: IO[bytes]) -> None:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place, count = content.find(LISTED), 0
        while place >= 0 and count <= LISTED_MAX:
            place, count = content.find(LISTED, place + 1), count + 1
    if count > LISTED_MAX:
        raise ArchiveError(Ending.BOMB)

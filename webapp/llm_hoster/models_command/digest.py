"""The hub's own hash of a file, by which the cache calls it: SHA-256 of large files, that of git for small ones."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from llm_hoster.regular_file import open_regular

SHA256 = re.compile(r"[0-9a-f]{64}")
GIT_SHA1 = re.compile(r"[0-9a-f]{40}")
CHUNK_BYTES = 2**20


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True)
class Digest:
    text: str

    @classmethod
    def parse(cls, text: object) -> Digest | None:
        """Give None for what is no hash of the hub's."""
        is_one = isinstance(text, str) and (SHA256.fullmatch(text) or GIT_SHA1.fullmatch(text))
        return cls(str(text)) if is_one else None

    def hash(self, size: int) -> Hash:
        """Begin the hash of a file of so many bytes."""
        if SHA256.fullmatch(self.text):
            return hashlib.sha256()
        sha1 = hashlib.sha1(usedforsecurity=False)
        sha1.update(b"blob %d\0" % size)
        return sha1

    def is_of(self, path: Path, on_bytes: Callable[[int], None], cancelled: threading.Event) -> bool:
        """Read a whole file; raise OSError when that fails."""
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            found = self.hash(size)
            feed(found, file, on_bytes, cancelled)
        return found.hexdigest() == self.text


def feed(hash_: Hash, file: BinaryIO, on_bytes: Callable[[int], None], cancelled: threading.Event) -> None:
    while not cancelled.is_set() and (chunk := file.read(CHUNK_BYTES)):
        hash_.update(chunk)
        on_bytes(len(chunk))

"""
The attached files of one person on disk, below `data_dir/attachments` for all sessions of a user.

A file is named by the SHA-256 of its bytes and never changes, so it is kept once, and two jobs that write the same one
write the same: the later replaces it by its equal. Beside it lies what was read out of it, which can be made again.
Guests have folders of their own: who knows the SHA-256 of another person's file finds nothing under it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

from llm_hoster.attachments.attachment import ID, Attachment, Kind
from llm_hoster.attachments.block import question_block
from llm_hoster.attachments.bounds import KEPT_MAX_BYTES, TEXT_MAX_CHARACTERS
from llm_hoster.attachments.content import Content, Form
from llm_hoster.attachments.names import name_ending, shown_name
from llm_hoster.attachments.reading import read_content
from llm_hoster.attachments.refusal import refusal
from llm_hoster.attachments.table import ENDINGS, measure_table
from llm_hoster.engine.record.atomic_file import replace_file

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a killed process was writing; a live one takes seconds.
LEFTOVER_S = 24 * 3600
# What the bytes of a kind are, where it is not called the same.
FORMS: dict[Kind, Form] = {"table": "text"}


class AttachmentStore:
    """All methods may be called from any thread and raise AttachmentError, with a sentence for the person."""

    def __init__(self, folder: Path, *, kept_max_bytes: int = KEPT_MAX_BYTES) -> None:
        """Touch nothing: the folder is made when the first file comes."""
        self.folder = folder
        self.kept_max_bytes = kept_max_bytes

    def add(self, data: bytes, name: str) -> Attachment:
        """Read and keep a file. `name` is what its sender calls it; PDF and Word may take 20 seconds."""
        name = shown_name(name)
        identity = hashlib.sha256(data).hexdigest()
        self._require_room(identity, len(data), name)
        content = self._kept_content(identity) or read_content(data, name)
        attachment = _describe(identity, name, len(data), content)
        try:
            self._keep(identity, data, content)
        except OSError as error:
            if error.errno in FULL:
                raise refusal("disk_full", name=name) from error
            raise refusal("not_kept", name=name, cause=error.strerror or "the disk failed") from error
        return attachment

    def data(self, attachment: Attachment) -> bytes:
        """Give the bytes as they came."""
        try:
            data = self._path(attachment.id).read_bytes()
        except FileNotFoundError as error:
            raise refusal("gone", name=attachment.name) from error
        except OSError as error:
            raise refusal("path_failed", path=f'"{attachment.name}"', cause=error.strerror) from error
        if hashlib.sha256(data).hexdigest() != attachment.id:
            raise refusal("kept_damaged", name=attachment.name)
        return data

    def content(self, attachment: Attachment) -> Content:
        """Give what was read out of it; it is read once more only where that was lost."""
        content = self._kept_content(attachment.id)
        if content is None:
            content = read_content(self.data(attachment), attachment.name)
            with contextlib.suppress(OSError):
                replace_file(self._content_path(attachment.id), content.to_json(), is_lasting=True)
        # An imported message may call a file what it is not.
        if content.form != FORMS.get(attachment.kind, attachment.kind):
            raise refusal("gone", name=attachment.name)
        return content

    def kept(self) -> dict[str, int]:
        """Give the ids of all files that are here, the latest first, and their bytes."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if ID.fullmatch(entry.name):
                    with contextlib.suppress(OSError):
                        status = entry.stat()
                        found.append((status.st_mtime, entry.name, status.st_size))
        return {identity: size for _, identity, size in sorted(found, reverse=True)}

    def remove(self, identity: str) -> None:
        """Remove a file for good; the messages that name it then say that it is gone."""
        try:
            for path in (self._path(identity), self._content_path(identity)):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise refusal("path_failed", path="The file", cause=error.strerror) from error

    def remove_leftovers(self) -> None:
        """Remove what killed processes were writing; for a session's start."""
        with contextlib.suppress(OSError):
            for path in self.folder.glob(".*"):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > LEFTOVER_S:
                        path.unlink()

    def _require_room(self, identity: str, size: int, name: str) -> None:
        kept = self.kept()
        used = sum(kept.values())
        if identity not in kept and used + size > self.kept_max_bytes:
            raise refusal("no_room", name=name, used=used // 1_000_000, most=self.kept_max_bytes // 1_000_000)

    def _path(self, identity: str) -> Path:
        if not ID.fullmatch(identity):
            raise ValueError("an attachment's id is a SHA-256")
        return self.folder / identity

    def _content_path(self, identity: str) -> Path:
        return self._path(identity).with_name(f"{identity}.json")

    def _kept_content(self, identity: str) -> Content | None:
        try:
            return Content.from_json(self._content_path(identity).read_text())
        except (OSError, ValueError):
            return None

    def _keep(self, identity: str, data: bytes, content: Content) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, content_path = self._path(identity), self._content_path(identity)
        if not (path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == identity):
            replace_file(path, data, is_lasting=True)
        if not content_path.exists():
            replace_file(content_path, content.to_json(), is_lasting=True)


def _describe(identity: str, name: str, size: int, content: Content) -> Attachment:
    """A table may be longer than other texts, since a question has its first rows only."""
    kind: Kind = content.form
    shape = None
    if content.form == "text" and name_ending(name) in ENDINGS:
        shape = measure_table(content.pages[0])
        kind = "table" if shape else "text"
    if kind != "table" and sum(map(len, content.pages)) > TEXT_MAX_CHARACTERS:
        raise refusal("too_much_text", name=name)
    rows, columns = shape or (None, None)
    attachment = Attachment(
        identity,
        name,
        kind,
        size,
        pages=len(content.pages) if kind == "pdf" else None,
        rows=rows,
        columns=columns,
        width=content.width or None,
        height=content.height or None,
    )
    return replace(attachment, characters=len(question_block(attachment, content)))

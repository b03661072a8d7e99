"""
The files of batches: what people upload, and the answers.

A file never changes once its description lies beside it, so that any number of sessions may read and add files at the
same time without a lock among them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from llm_hoster.batches.caller import may_see
from llm_hoster.batches.limits import DAY_S, FILES_MAX, FOLDER_BYTES_MAX
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.errors import HTTPError

FILE_ID = re.compile(r"file-[0-9a-f]{32}(-output|-error)?")
UPLOAD_PREFIX = ".upload-"
FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "your quota there is used up"}
GIB = 2**30


class StoredFile(BaseModel):
    """Times are Unix seconds. `caller` is the id of the key that it belongs to."""

    model_config = ConfigDict(frozen=True)

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: float
    expires_at: int | None
    caller: str

    def as_openai(self) -> dict[str, object]:
        shown = {"object": "file", "status": "processed", "created_at": int(self.created_at)}
        return self.model_dump(exclude={"caller"}) | shown


class FileStore:
    """All methods may be called from any thread. `root` is the folder of batches; its files lie in one below it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "files"
        self._known: dict[str, StoredFile] = {}

    def files(self, caller: str) -> list[StoredFile]:
        """List what this caller may see, the oldest first."""
        found = [file for file_id in self._ids() if (file := self.find(file_id, caller)) is not None]
        return sorted(found, key=lambda file: (file.created_at, file.id))

    def find(self, file_id: str, caller: str) -> StoredFile | None:
        file = self._read(file_id)
        is_there = file is not None and may_see(caller, file.caller) and not _is_over(file)
        return file if is_there else None

    def content_path(self, file_id: str) -> Path:
        return self._folder / f"{file_id}.jsonl"

    @contextmanager
    def new_content(self) -> Iterator[IO[bytes]]:
        """Give a file to write; `add` takes it, and what nobody has taken is removed at the end."""
        for folder in (self._root, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=UPLOAD_PREFIX, delete=False) as content:
            try:
                yield content
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(content.name)

    def add(self, content: IO[bytes], file: StoredFile) -> None:
        """Keep what `new_content` gave, with its description; once more with the same id changes nothing."""
        content.flush()
        os.fsync(content.fileno())
        os.replace(content.name, self.content_path(file.id))
        replace_file(self._description_path(file.id), file.model_dump_json())

    def remove(self, file_id: str) -> None:
        """The description first: a file without one is not there for anybody."""
        self._known.pop(file_id, None)
        for path in (self._description_path(file_id), self.content_path(file_id)):
            path.unlink(missing_ok=True)

    def require_room(self) -> None:
        """Raise HTTPError where the file that has just been written is too much."""
        if len(self._ids()) >= FILES_MAX:
            message = f"There are {FILES_MAX} files already, the most that are kept. Delete some that you do not need."
            raise HTTPError(403, message, code="too_many_files")
        used = self.used_bytes()
        if used > FOLDER_BYTES_MAX:
            message = (
                f"With this one the files of batches take {used / GIB:.2f} GiB; {FOLDER_BYTES_MAX / GIB:.0f} are"
                " allowed. Delete files that you do not need."
            )
            raise HTTPError(403, message, code="storage_full")

    def used_bytes(self) -> int:
        """Count all that lies in the folder of batches, half-written files too."""
        total = 0
        for folder, _, names in os.walk(self._root):
            for name in names:
                with contextlib.suppress(OSError):  # Somebody has removed it just now.
                    total += os.stat(os.path.join(folder, name)).st_size
        return total

    def tidy(self, in_use: set[str]) -> None:
        """Remove what has expired, and uploads whose session was killed."""
        for file_id in self._ids():
            file = self._read(file_id)
            if file is not None and _is_over(file) and file_id not in in_use:
                self.remove(file_id)
        for path in self._folder.glob(f"{UPLOAD_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - DAY_S:
                    path.unlink()

    def _ids(self) -> list[str]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
        return [stem for stem in stems if FILE_ID.fullmatch(stem)]

    def _read(self, file_id: str) -> StoredFile | None:
        if not FILE_ID.fullmatch(file_id):
            return None
        path = self._description_path(file_id)
        if file_id not in self._known:
            try:
                self._known[file_id] = StoredFile.model_validate_json(path.read_bytes())
            except (OSError, ValidationError):
                return None
        elif not path.exists():  # Another session has removed it.
            self._known.pop(file_id, None)
        return self._known.get(file_id)

    def _description_path(self, file_id: str) -> Path:
        return self._folder / f"{file_id}.json"


def new_id() -> str:
    return f"file-{secrets.token_hex(16)}"


def write_fault(error: OSError) -> HTTPError:
    """Say in a sentence why nothing can be written."""
    reason = FULL.get(error.errno or 0)
    if reason is not None:
        message = f"The file could not be saved: {reason}. Delete files that you do not need."
        return HTTPError(507, message, code="disk_full")
    return HTTPError(507, f"The file could not be saved ({error.strerror or error}).", code="not_saved")


def _is_over(file: StoredFile) -> bool:
    return file.expires_at is not None and file.expires_at <= time.time()

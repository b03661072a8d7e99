"""A model that lies in a cache: its files with the hashes they are called by, its size, and who uses it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.hub_cache import locks_of, repository_of
from llm_hoster.lease import is_held
from llm_hoster.model_use import USED, uses_of
from llm_hoster.models_command.digest import Digest
from llm_hoster.models_command.model_download import LOCK
from llm_hoster.process_table import PROC, pids

REPOSITORY = re.compile(r"models--([A-Za-z0-9][A-Za-z0-9._-]*?)--([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class CachedFile:
    """One file of one version; `digest` is None where nothing says what it should be."""

    name: str
    blob: Path
    digest: Digest | None


class CachedModel:
    def __init__(self, model: str, cache: Path) -> None:
        self.model = model
        self.folder = repository_of(model, cache)
        self._locks = locks_of(model, cache)

    def files(self) -> list[CachedFile]:
        """Give the files of all versions, each content once."""
        found: dict[Path, CachedFile] = {}
        for path in _files_below(self.folder / "snapshots"):
            blob = Path(os.path.normpath(path.parent / os.readlink(path))) if path.is_symlink() else path
            is_blob = blob.parent == self.folder / "blobs"
            found.setdefault(blob, CachedFile(path.name, blob, Digest.parse(blob.name) if is_blob else None))
        return sorted(found.values(), key=lambda each: each.name)

    def size(self) -> int:
        """Count what is on disk, parts of a download too."""
        return sum(path.lstat().st_size for path in _files_below(self.folder) if not path.is_symlink())

    def last_used(self) -> float:
        """Give when a session had it last or a file of it was read, as far as the file system notes that."""
        times = [_time(path) for path in _files_below(self.folder / "blobs")]
        return max([*times, _time(self._locks / USED), _time(self.folder)])

    def user(self) -> str | None:
        """Say who uses it right now: a session of the person's on any node, a download, a process of this node."""
        if is_held(self._locks / LOCK):
            return "it is being fetched"
        if any(is_held(path) for path in uses_of(self._locks)):
            return "a session uses it"
        process = _process_with_a_file_below(self.folder)
        return None if process is None else f"process {process} has a file of it open"


def models_in(cache: Path) -> list[CachedModel]:
    """Give the models of a cache, by name."""
    try:
        names = sorted(os.listdir(cache))
    except FileNotFoundError:
        return []
    matches = [REPOSITORY.fullmatch(name) for name in names]
    return [CachedModel(f"{match[1]}/{match[2]}", cache) for match in matches if match and (cache / match[0]).is_dir()]


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent) / name


def _time(path: Path) -> float:
    try:
        status = path.stat()
    except OSError:
        return 0.0
    return max(status.st_atime, status.st_mtime)


def _process_with_a_file_below(folder: Path) -> int | None:
    """Look at the processes of this node that we may look at: they may have opened a file, or mapped it."""
    below = f"{os.path.realpath(folder)}/"
    for pid in pids():
        with contextlib.suppress(OSError):
            maps = (PROC / str(pid) / "maps").read_text(errors="replace")
            if below in maps or any(path.startswith(below) for path in _open_files(pid)):
                return pid
    return None


def _open_files(pid: int) -> Iterator[str]:
    for descriptor in (PROC / str(pid) / "fd").iterdir():
        with contextlib.suppress(OSError):  # It has been closed meanwhile.
            yield os.readlink(descriptor)

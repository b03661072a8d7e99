"""The folders of one session on the node: a short private one for sockets, and those that stay."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.engine.process.leftovers import SHARED_MEMORY_RECORD, clear_leftovers, lock_folder
from llm_hoster.errors import SessionError
from llm_hoster.settings import RuntimePaths

# A unix socket's path ends at 107 bytes, and vLLM and its parts append up to 60 to ours.
RUNTIME_DIR_LIMIT = 40
NAME_PREFIX = "llmh-"
NAME_LENGTH = len(NAME_PREFIX) + 8


@dataclass(frozen=True)
class Folders(RuntimePaths):
    """`runtime_dir` is node-local and removed at the end; `cache_dir` stays for the next session."""

    runtime_dir: Path
    cache_dir: Path

    @property
    def tmp_dir(self) -> Path:
        return self.runtime_dir / "t"

    @property
    def shared_memory_path(self) -> Path:
        return self.runtime_dir / SHARED_MEMORY_RECORD

    @property
    def settings_path(self) -> Path:
        return self.runtime_dir / "settings.json"


@contextmanager
def runtime_dir_in(node_dir: Path) -> Iterator[Path]:
    """
    Make a folder for its owner alone, and remove it at the end, also when the session does not come to run.

    What sessions before us could not remove, because all of them was killed at once, is removed now.
    """
    length = len(os.fsencode(node_dir)) + 1 + NAME_LENGTH
    if length > RUNTIME_DIR_LIMIT:
        raise SessionError(
            f"{node_dir}: too long for node_dir in site.yml. Folders in it would have paths of {length} bytes, and"
            f" vLLM's sockets allow {RUNTIME_DIR_LIMIT}. Name a node-local folder with a short path, such as /tmp."
        )
    clear_leftovers(node_dir, NAME_PREFIX)
    try:
        path = Path(tempfile.mkdtemp(prefix=NAME_PREFIX, dir=node_dir))
    except OSError as error:
        raise _no_folder(node_dir, error) from error
    try:
        try:
            lock = lock_folder(path)
            (path / "t").mkdir(mode=0o700)
        except OSError as error:
            raise _no_folder(node_dir, error) from error
        yield path
        os.close(lock)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _no_folder(node_dir: Path, error: OSError) -> SessionError:
    return SessionError(f"{node_dir}: no folder can be made here on this node ({error.strerror}).")


def make_cache_dir(path: Path) -> Path:
    return _make_lasting(path, "cache_dir", "Name a large folder that its users may write, such as one of the scratch.")


def make_data_dir(path: Path) -> Path:
    return _make_lasting(path, "data_dir", "Conversations are kept there: name a folder that its users may write.")


def _make_lasting(path: Path, setting: str, advice: str) -> Path:
    """Make it or find it, and write to it once: on a full or read-only file system it may be there all the same."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"\0")
    except OSError as error:
        raise SessionError(
            f"{path}: {setting} of site.yml cannot be written on this node ({error.strerror}). {advice}"
        ) from error
    return path

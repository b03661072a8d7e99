"""The folders of one session on the node: a short private one for sockets, and a large one for caches."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.errors import SessionError

# A unix socket's path ends at 107 bytes, and vLLM and its parts append up to 60 to ours.
RUNTIME_DIR_LIMIT = 40
NAME_PREFIX = "llmh-"
NAME_LENGTH = len(NAME_PREFIX) + 8


@dataclass(frozen=True)
class Folders:
    """`runtime_dir` is node-local and removed at the end; `cache_dir` stays for the next session."""

    runtime_dir: Path
    cache_dir: Path

    @property
    def socket_path(self) -> Path:
        return self.runtime_dir / "vllm.sock"

    @property
    def tmp_dir(self) -> Path:
        return self.runtime_dir / "t"

    @property
    def state_path(self) -> Path:
        return self.runtime_dir / "state.json"

    @property
    def settings_path(self) -> Path:
        return self.runtime_dir / "settings.json"


def make_folders(node_dir: Path, cache_dir: Path) -> Folders:
    """Make both, open to their owner alone; raise SessionError with what to change in site.yml."""
    return Folders(make_runtime_dir(node_dir), make_cache_dir(cache_dir))


def make_runtime_dir(node_dir: Path) -> Path:
    length = len(os.fsencode(node_dir)) + 1 + NAME_LENGTH
    if length > RUNTIME_DIR_LIMIT:
        raise SessionError(
            f"{node_dir}: too long for node_dir in site.yml. Folders in it would have paths of {length} bytes, and"
            f" vLLM's sockets allow {RUNTIME_DIR_LIMIT}. Name a node-local folder with a short path, such as /tmp."
        )
    try:
        path = Path(tempfile.mkdtemp(prefix=NAME_PREFIX, dir=node_dir))
        (path / "t").mkdir(mode=0o700)
    except OSError as error:
        raise SessionError(f"{node_dir}: no folder can be made here on this node ({error.strerror}).") from error
    return path


def make_cache_dir(cache_dir: Path) -> Path:
    try:
        cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SessionError(
            f"{cache_dir}: cache_dir of site.yml cannot be made on this node ({error.strerror}). "
            "Name a large folder that you may write, such as one on the scratch file system."
        ) from error
    return cache_dir

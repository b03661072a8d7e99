"""What a session may leave on its machine beside processes and its runtime folder."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where it is on every Linux


class Traces:
    """Made before the session; other programs may use the machine meanwhile."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._shared_before = set(os.listdir(SHARED_MEMORY))

    def left(self) -> list[str]:
        """Name sockets, locks that are held and files of shared memory that nobody uses."""
        return [*self.shared_memory(), *self._sockets(), *self._locks()]

    def shared_memory(self) -> list[str]:
        """New files are somebody else's where a living process uses them. Each is named once."""
        new = set(os.listdir(SHARED_MEMORY)) - self._shared_before
        in_use = _inodes_in_use() if new else set()
        left = sorted(name for name in new if _inode(SHARED_MEMORY / name) not in {None, *in_use})
        self._shared_before.update(left)
        return [f"{SHARED_MEMORY / name}" for name in left]

    def _files(self) -> dict[Path, os.stat_result]:
        found = {}
        for folder in self._folders:
            for path in folder.rglob("*"):
                with contextlib.suppress(OSError):
                    found[path] = path.lstat()
        return found

    def _sockets(self) -> list[str]:
        return [f"socket {path}" for path, status in self._files().items() if stat.S_ISSOCK(status.st_mode)]

    def _locks(self) -> list[str]:
        # Number, kind, mandatory or not, mode, process, major:minor:inode, from, to.
        held = {line.split()[-3] for line in Path("/proc/locks").read_text().splitlines()}
        return [f"lock on {path}" for path, status in self._files().items() if _lock_name(status) in held]


def _lock_name(status: os.stat_result) -> str:
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


def _inodes_in_use() -> set[int]:
    """By number and not by name: a semaphore is opened under another name than it gets (sem_open of glibc)."""
    inodes: set[int] = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # It has ended.
                lines = (process / "maps").read_text().splitlines()
                # Address, rights, offset, device, inode, path.
                inodes |= {int(line.split()[4]) for line in lines if f" {SHARED_MEMORY}/" in line}
                inodes |= {path.stat().st_ino for path in (process / "fd").iterdir()}
    return inodes


def _inode(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return path.stat().st_ino
    return None

"""The files in /dev/shm that vLLM's processes share: they stay, and take memory, when these are killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from llm_hoster.engine.process.descendants import descendants
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.process_table import PROC, pids

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where it is on every Linux


class SharedMemory:
    """Remembers which files the processes below this one have used. Other files there may be the person's own."""

    def __init__(self, record: Path | None = None) -> None:
        """`record` is where whoever clears up after a killed supervisor finds the files, one in a line."""
        self._record = record
        # By number and not by name: glibc opens a semaphore under another name than it gets.
        self._seen: set[int] = set()

    def note(self) -> None:
        found = _used_by(descendants())
        if found <= self._seen:
            return
        self._seen |= found
        if self._record is not None:
            with contextlib.suppress(OSError):
                replace_file(self._record, "".join(f"{path}\n" for path in _files(self._seen)))

    def clear(self) -> None:
        """Remove what nobody uses any more, and only that: two processes of one user may share across jobs."""
        self._remove(set())

    def abandon(self) -> None:
        """Remove it while our own processes still have it, which they keep: they are ending, and may be killed."""
        self.note()
        self._remove(set(descendants()))

    def _remove(self, ending: set[int]) -> None:
        if self._seen:
            in_use = _used_by(set(pids()) - ending)
            for path in _files(self._seen - in_use):
                with contextlib.suppress(OSError):
                    path.unlink()
            self._seen &= in_use


def remove_recorded(record: Path) -> None:
    """For after a killed supervisor, whose processes have ended."""
    with contextlib.suppress(OSError):
        for line in record.read_text().splitlines():
            path = Path(line)
            if path.parent == SHARED_MEMORY:
                with contextlib.suppress(OSError):
                    path.unlink()


def _files(inodes: set[int]) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(SHARED_MEMORY) as entries:
        return [Path(entry.path) for entry in entries if entry.inode() in inodes]
    return []


def _used_by(pids: Iterable[int]) -> set[int]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # It has ended, or is somebody else's.
            for line in (PROC / str(pid) / "maps").read_text().splitlines():
                # Address, rights, offset, device, inode, path.
                if f" {SHARED_MEMORY}/" in line:
                    found.add(int(line.split(maxsplit=5)[4]))
    return found

"""A process known by its id and its start time, so that a number used again is never taken for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """`started` is in the kernel's ticks since boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """Return the process that has this id now; raise ProcessLookupError if there is none."""
        fields = stat_fields(pid)
        if fields is None:
            raise ProcessLookupError(pid)
        return cls(pid, int(fields[19]))

    @classmethod
    def from_text(cls, text: str) -> Process:
        pid, started = text.split()
        return cls(int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.pid} {self.started}"

    @property
    def alive(self) -> bool:
        """True until it ended, whether or not somebody has waited for it."""
        fields = stat_fields(self.pid)
        return fields is not None and int(fields[19]) == self.started and fields[0] not in "ZX"

    def signal(self, number: int) -> None:
        """Send a signal unless the process has ended."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def descendants_of(pid: int) -> list[Process]:
    """Return the process and all below it."""
    children: dict[int, list[Process]] = {}
    for entry in Path("/proc").iterdir():
        fields = stat_fields(int(entry.name)) if entry.name.isdigit() else None
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(Process(int(entry.name), int(fields[19])))
    fields = stat_fields(pid)
    found = [Process(pid, int(fields[19]))] if fields is not None else []
    for process in found:
        found += children.get(process.pid, [])
    return found


def stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the name (state first), or None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()

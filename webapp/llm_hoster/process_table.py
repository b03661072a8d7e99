"""The processes of this machine, as /proc shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class ProcessStat(NamedTuple):
    """A part of /proc/PID/stat, see proc(5). `state` is its letter; `start` tells a process from a later one."""

    name: str
    state: str
    parent: int
    session: int
    start: str


def pids() -> Iterator[int]:
    """Each may have ended by the time that it is looked at."""
    return (int(name) for name in os.listdir(PROC) if name.isdigit())


def read_stat(pid: int) -> ProcessStat:
    """Raise OSError when it has ended; a zombie has not."""
    # The name in parentheses may hold spaces and parentheses.
    head, _, tail = (PROC / str(pid) / "stat").read_text().rpartition(")")
    fields = tail.split()
    return ProcessStat(head.partition("(")[2], fields[0], int(fields[1]), int(fields[3]), fields[19])

"""The processes below this one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from llm_hoster.process_table import pids, read_stat


def descendants() -> dict[int, str]:
    """Give number and name of each that lives; a zombie does not."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for pid in pids():
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            stat = read_stat(pid)
            parents[pid] = stat.parent
            if stat.state != "Z":
                names[pid] = stat.name
    return {pid: name for pid, name in names.items() if _is_below(pid, parents)}


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return read_stat(pid).state != "Z"
    return False


def _is_below(pid: int, parents: Mapping[int, int]) -> bool:
    while pid := parents.get(pid, 0):
        if pid == os.getpid():
            return True
    return False

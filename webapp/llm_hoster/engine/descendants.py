"""The processes below this one, as /proc shows them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path


def descendants() -> dict[int, str]:
    """Give number and name of each that lives; a zombie does not."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # It has ended meanwhile.
                pid = int(folder.name)
                name, state, parents[pid] = _read_stat(pid)
                if state != "Z":
                    names[pid] = name
    return {pid: name for pid, name in names.items() if _is_below(pid, parents)}


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return _read_stat(pid)[1] != "Z"
    return False


def _read_stat(pid: int) -> tuple[str, str, int]:
    """Give the name, the letter of its state and the number of its parent; raise OSError when it has ended."""
    # The name in parentheses may hold spaces and parentheses.
    head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    state, parent = tail.split()[:2]
    return head.partition("(")[2], state, int(parent)


def _is_below(pid: int, parents: Mapping[int, int]) -> bool:
    while pid := parents.get(pid, 0):
        if pid == os.getpid():
            return True
    return False

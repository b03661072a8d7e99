"""What processes cost: their CPU time by the kernel's own clocks, and their share of the memory."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

PSS = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)
# clock_getcpuclockid(3): the clock of a process is its number, inverted, beside the kind that counts scheduled time.
SCHEDULED = 2


def tree(pid: int) -> list[int]:
    """Give the process and all below it."""
    children = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    return [pid, *(each for child in children for each in tree(child))]


def cpu_s(pids: Iterable[int]) -> float:
    return sum(time.clock_gettime((~pid << 3) | SCHEDULED) for pid in pids)


def memory_mb(pids: Iterable[int]) -> float:
    """Pages that several processes share are counted once."""
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(match[1]) for text in texts if (match := PSS.search(text))) * 1024 / 1e6

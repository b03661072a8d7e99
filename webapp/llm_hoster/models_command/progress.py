"""How far a download or a check is, as lines that a person, the session's page and a log can read."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from llm_hoster.catalogue.site import BYTES_PER_GIB

EVERY_S = 1.0
RATE_OVER_S = 10.0
BYTES_PER_MB = 10**6


class Progress:
    """Counts bytes that many threads report, and says once a second `3.1 of 15.0 GiB, 120 MB/s`."""

    def __init__(self, total: int, say: Callable[[str], None], *, done: int = 0, every_s: float = EVERY_S) -> None:
        self._total = total
        self._done = done
        self._say = say
        self._every_s = every_s
        self._lock = threading.Lock()
        self._marks = deque([(time.monotonic(), done)])

    def add(self, count: int) -> None:
        """Take `count` back where it is negative: what had to be thrown away."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._marks[-1][0] < self._every_s:
                return
            rate = (self._done - self._marks[0][1]) / max(now - self._marks[0][0], 1e-3)
            self._marks.append((now, self._done))
            while now - self._marks[0][0] > RATE_OVER_S and len(self._marks) > 1:
                self._marks.popleft()
            self._say(f"{amount(self._done, self._total)}, {max(0.0, rate) / BYTES_PER_MB:.0f} MB/s")


def amount(done: int, total: int) -> str:
    return f"{done / BYTES_PER_GIB:.1f} of {total / BYTES_PER_GIB:.1f} GiB"


def gib(count: int) -> str:
    """So many GiB in words; what is less than a tenth has more digits, so that it does not read as nothing."""
    size = count / BYTES_PER_GIB
    return f"{size:.1f} GiB" if size >= 0.1 else f"{count / 2**20:.1f} MiB"

"""What is read at most once a second, whatever number of pages ask, and never holds a page up for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

AGE_S = 1.0
PATIENCE_S = 0.5
STALE_S = 10.0


class Reading(Generic[T]):
    """A thread of its own reads: a driver that hangs must not take the threads of the pages with it."""

    def __init__(self, read: Callable[[], T], nothing: T) -> None:
        self._read = read
        self._nothing = nothing
        self._value = nothing
        self._read_at = float("-inf")
        self._lock = threading.Lock()
        self._under_way: threading.Event | None = None

    def get(self) -> T:
        """Give what was read last; `nothing` where that is long ago."""
        with self._lock:
            if time.monotonic() - self._read_at < AGE_S:
                return self._value
            if self._under_way is None:
                self._under_way = threading.Event()
                threading.Thread(target=self._run, args=(self._under_way,), name="reading", daemon=True).start()
            under_way = self._under_way
        under_way.wait(PATIENCE_S)
        return self.latest()

    def latest(self) -> T:
        """Give what was read last, and wait for nothing; `nothing` where that is long ago."""
        with self._lock:
            return self._value if time.monotonic() - self._read_at < STALE_S else self._nothing

    def _run(self, done: threading.Event) -> None:
        try:
            value = self._read()
            with self._lock:
                self._value, self._read_at = value, time.monotonic()
        finally:
            with self._lock:
                self._under_way = None
            done.set()

"""The imports of a session: one at a time for each person, and the last one of each with its tally."""

from __future__ import annotations

import threading

from llm_hoster.chat.exchange.import_run import ImportRun

RUNNING_MAX = 2


class Imports:
    def __init__(self) -> None:
        self._last: dict[str, ImportRun] = {}
        self._lock = threading.Lock()
        self._places = RUNNING_MAX

    def enter(self, key_id: str) -> bool:
        """Take a place for somebody's import, from its upload on; False where there is none."""
        with self._lock:
            last = self._last.get(key_id)
            is_running = last is not None and last.is_running
            running = sum(run.is_running for run in self._last.values())
            if is_running or running >= self._places:
                return False
            self._places -= 1
            return True

    def leave(self) -> None:
        """Give the place back: the upload is over, and from here on the import itself is counted."""
        with self._lock:
            self._places += 1

    def begin(self, run: ImportRun) -> None:
        with self._lock:
            self._last[run.visitor.id] = run
        run.start()

    def last(self, key_id: str) -> ImportRun | None:
        with self._lock:
            return self._last.get(key_id)

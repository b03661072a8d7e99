"""How many lines of batches may be asked at a time: many while nobody else asks anything, few or none beside others."""

from __future__ import annotations

import time

from llm_hoster.capacity import CONNECTIONS
from llm_hoster.status.gauges import EngineGauges

START = 4
# Each takes a file and a thread of the web app.
MAX = min(64, CONNECTIONS // 8)
BESIDE_OTHERS = 4


class Pace:
    """Owned by one thread, which looks about once a second."""

    def __init__(self) -> None:
        self.allowed = START
        self._held_until = 0.0
        self._asked_before = 0

    def look(self, engine: EngineGauges | None, asked: int) -> None:
        """Take the engine's own figures, of which `asked` are ours. Those are a second old, and so may ours be."""
        ours, self._asked_before = max(asked, self._asked_before), asked
        if engine is None:
            self.allowed = 1
            return
        others = engine.requests_running + engine.requests_waiting - ours
        if others > 0:
            # Somebody waits for room already: then ours end, and no new ones come.
            self.allowed = 0 if engine.requests_waiting else min(2 * max(self.allowed, 1), BESIDE_OTHERS)
        elif engine.requests_waiting:
            self.allowed = max(1, engine.requests_running)  # More than these only wait inside the engine.
        else:
            self.allowed = min(MAX, max(START, 2 * self.allowed))

    def start_again(self) -> None:
        """The engine has died; if by one of our lines, that shall be asked alone."""
        self.allowed = 1

    def hold(self, seconds: float) -> None:
        """The engine wants to be left alone for so long."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    @property
    def is_held(self) -> bool:
        return time.monotonic() < self._held_until

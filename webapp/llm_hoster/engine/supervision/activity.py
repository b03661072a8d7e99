"""When the session ends because nobody asks anything: it says so some minutes before, and a word is enough to stay."""

from __future__ import annotations

import time

from llm_hoster.engine.supervision.pulse import Look

# How long before the end people are told.
NOTICE_S = 120.0


class Activity:
    """Counted by vLLM's own figures, however a question came. Owned by one thread."""

    def __init__(self, idle_s: float) -> None:
        self.idle_s = idle_s
        self._notice_s = min(NOTICE_S, idle_s / 2)
        self._asked_at = time.monotonic()
        self._ended = 0
        self._was_open = False
        self._look: Look | None = None

    def touch(self) -> None:
        """Somebody is here, or the engine could not be asked until now."""
        self._asked_at = time.monotonic()

    def take(self, look: Look | None) -> None:
        """Take what the pulse saw last. Where it saw nothing, nobody is taken to be idle."""
        if look is None or look is self._look:
            return
        self._look = look
        if look.figures is None:
            self._asked_at = look.at
            return
        ended = look.figures.requests_ended - look.canaries
        # What was open at the last look may have ended just now.
        if self._was_open or look.figures.are_requests_open or ended != self._ended:
            self._asked_at = look.at
        self._was_open, self._ended = look.figures.are_requests_open, ended

    @property
    def is_over(self) -> bool:
        """Never on a guess: the engine was looked at after the time was over."""
        return self._look is not None and self._look.at - self._asked_at >= self.idle_s

    def ends_at(self) -> float | None:
        """Give the end in Unix seconds once it is near, else None."""
        left_s = self._left_s()
        return time.time() + max(left_s, 0.0) if left_s <= self._notice_s else None

    def due_at(self) -> float:
        """Give the time, in Unix seconds, at which people must be told, or after that the end."""
        left_s = self._left_s()
        return time.time() + (left_s if left_s <= self._notice_s else left_s - self._notice_s)

    def _left_s(self) -> float:
        return self._asked_at + self.idle_s - time.monotonic()


def idle_sentence(idle_s: float) -> str:
    return f"No question for {minutes(idle_s)}: the session stopped by itself, to spare your allocation."


def minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minute" + ("" if seconds == 60 else "s")

"""Waiting for a model: when to ask again, what to tell meanwhile, and when to give up."""

from __future__ import annotations

import time
from collections.abc import Callable

import openai

from llm_hoster.client.errors import NotReadyError
from llm_hoster.client.health import Health

WAIT_HEADER = "X-Wait-For-Model"
# How long one question is held by the session, which answers it at once when the model is there.
HOLD_S = 5.0
# Nobody may answer for a moment, while one session takes over from another.
SILENCES_MAX = 5
SILENCE_PAUSE_S = 1.0


def wait_header(seconds: float) -> dict[str, str]:
    return {WAIT_HEADER: f"{seconds:.3f}"}


class Waiting:
    """Ask as long as not `is_over`, each time for `hold_s`, and then pause for `pause_s`."""

    def __init__(self, timeout_s: float, on_step: Callable[[str], object] | None) -> None:
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._on_step = on_step
        self._told = ""
        self._silences = 0
        self._asked_at = 0.0
        self.hold_s = 0.0
        self.pause_s = 0.0
        self.is_over = False

    def begin(self) -> float:
        """Give the seconds for which the question may be held."""
        self._asked_at = time.monotonic()
        return self.hold_s

    def hear(self, health: Health) -> None:
        """Raise NotReadyError when there is nothing to wait for, or no time left."""
        self._silences = 0
        self.is_over = health.is_ready
        self.pause_s = 0.0
        if health.is_ready:
            return
        if self._on_step is not None and health.message not in {"", self._told}:
            self._on_step(health.message)
            self._told = health.message
        words = health.message or f"The session is {health.state}."
        if not health.is_coming:
            raise NotReadyError(words)
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise NotReadyError(f"Not ready after {self._timeout_s:.0f} s. {words}")
        # An answer that was not held is not asked for again at once.
        self.pause_s = min(left_s, max(0.0, self._asked_at + self.hold_s - time.monotonic()))
        self.hold_s = min(HOLD_S, left_s)

    def hear_nothing(self, error: openai.APIConnectionError) -> None:
        """Raise the error where it is one too many."""
        self._silences += 1
        if self._silences == SILENCES_MAX or time.monotonic() >= self._deadline:
            raise error
        self.pause_s = SILENCE_PAUSE_S

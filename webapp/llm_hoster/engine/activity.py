"""Whether anybody asks the model: vLLM's own figures know it, however a question came and whoever has died since."""

from __future__ import annotations

import re
import time
from pathlib import Path

from llm_hoster.engine.job_log import say

METRICS_TIMEOUT_S = 2.0
LOOK_INTERVAL_S = 30.0
RUNNING = {"num_requests_running", "num_requests_waiting"}
FIGURE = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|prompt_tokens_total|generation_tokens_total"
    r"|request_success_total)(?:\{.*\})? ([-+.\w]+)$",
    re.MULTILINE,
)


class Activity:
    """Owned by one thread; the time without a question begins with this object."""

    def __init__(self, socket_path: Path, idle_s: float) -> None:
        self.idle_s = idle_s
        self.interval_s = min(LOOK_INTERVAL_S, idle_s / 4)
        self._socket_path = socket_path
        self._busy_at = self._looked_at = time.monotonic()
        self._counted = 0.0
        self._has_complained = False

    def has_been_idle(self) -> bool:
        """Look at vLLM when it is time to; True when it was not asked for `idle_s`. Never too early, nor on a guess."""
        now = time.monotonic()
        if now - self._looked_at < self.interval_s:
            return False
        self._looked_at = now
        figures = self._read()
        counted = sum(value for name, value in figures if name not in RUNNING)
        is_running = any(value > 0 for name, value in figures if name in RUNNING)
        if not figures:
            self._complain_once()
        if not figures or is_running or counted != self._counted:
            self._busy_at, self._counted = now, counted
        return now - self._busy_at >= self.idle_s

    def _complain_once(self) -> None:
        if not self._has_complained:
            say(
                "engine",
                "vLLM does not tell whether it is asked: while that is so, the session does not stop when idle",
            )
        self._has_complained = True

    def _read(self) -> list[tuple[str, float]]:
        """Nothing where vLLM does not answer in time, or keeps no figures."""
        # Imported here: urllib3 takes longer to load than all that must happen before vLLM starts.
        from urllib3.exceptions import HTTPError

        from llm_hoster.engine.connection import EnginePool

        try:
            answer = EnginePool(self._socket_path).request("GET", "/metrics", timeout=METRICS_TIMEOUT_S)
        except (HTTPError, OSError):
            return []
        text = answer.data.decode(errors="replace") if answer.status == 200 else ""
        return [(name, float(value)) for name, value in FIGURE.findall(text)]


def idle_sentence(idle_s: float) -> str:
    return f"No question for {minutes(idle_s)}: the session stopped by itself, to spare your allocation."


def minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minute" + ("" if seconds == 60 else "s")

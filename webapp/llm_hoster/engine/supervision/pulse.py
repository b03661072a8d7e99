"""
Whether vLLM still works: seen from its own figures, and asked for only when it has nothing else to do.

`/health` stays 200 while a worker is gone, and a question of ours behind two hundred others proves nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from llm_hoster.engine.record.job_log import say
from llm_hoster.engine.vllm.figures import Figures, parse_figures, read_metrics
from llm_hoster.engine.vllm.request import post

LOOK_INTERVAL_S = 10.0
# Longer than vLLM is silent when it compiles something for a first question of its kind.
HANG_S = 180.0
# A look may come so much later than it should.
SLACK_S = 5.0
# The smallest work that goes through all of the engine. A model that only embeds refuses the first with a 4xx.
CANARIES: tuple[tuple[str, Mapping[str, object]], ...] = (
    ("/v1/completions", {"prompt": "1", "max_tokens": 1}),
    ("/v1/embeddings", {"input": "1"}),
)


@dataclass(frozen=True)
class Look:
    """What was seen at one moment (`at`, of the monotonic clock). `figures` count `canaries` questions of our own."""

    at: float
    figures: Figures | None
    canaries: int


@dataclass(frozen=True)
class Sign:
    """A replica's counter while it had questions, and when it was seen to move."""

    work: int
    at: float


class Pulse:
    """A thread looks; others read `last` and the verdict. One object for each run of vLLM."""

    def __init__(
        self,
        socket_path: Path,
        served_model_name: str,
        notify: Callable[[], None],
        *,
        hang_s: float = HANG_S,
        interval_s: float = LOOK_INTERVAL_S,
    ) -> None:
        """An idle engine is asked every third of `hang_s`."""
        self.last: Look | None = None
        self.is_hung = False
        # A sentence when vLLM has given no proof of life for a suspiciously long time.
        self.complaint: str | None = None
        self._interval_s = min(interval_s, hang_s / 6)
        self._socket_path = socket_path
        self._model = served_model_name
        self._notify = notify
        self._hang_s = hang_s
        self._proof_at = self._looked_at = time.monotonic()
        # Of the replicas that have questions, by name: one that is stuck is not excused by another that works.
        self._signs: dict[str, Sign] = {}
        self._canaries = 0
        self._kinds = list(CANARIES)
        self._has_complained = False
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="pulse", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def look(self) -> None:
        """Look once; takes as long as a canary of a dead engine."""
        began = time.monotonic()
        self._see(read_metrics(self._socket_path, timeout_s=self._hang_s / 3))
        now = time.monotonic()
        # Then the whole job was asleep (scontrol suspend), and this process with it.
        if began - self._looked_at > 2 * self._interval_s + SLACK_S or now - began > self._hang_s:
            self._proof_at = now
            self._signs = {}
        self._looked_at = now
        self._judge()

    def _see(self, text: str | None) -> None:
        now, canaries = time.monotonic(), self._canaries
        figures = None if text is None else parse_figures(text)
        self.last = Look(now, figures, canaries)
        if text is None:
            return
        if figures is None:
            self._complain_once()
            self._proof_at = now  # It answers, and more cannot be known.
            self._signs = {}
            return
        self._signs = {
            name: self._sign(name, replica.work, now) for name, replica in figures.replicas.items() if replica.questions
        }
        if self._signs:
            self._proof_at = min(sign.at for sign in self._signs.values())
        elif now - self._proof_at >= self._hang_s / 3:
            self._ask()

    def _sign(self, name: str, work: int, now: float) -> Sign:
        before = self._signs.get(name)
        return before if before is not None and before.work == work else Sign(work, now)

    def _judge(self) -> None:
        silent_s = time.monotonic() - self._proof_at
        self.is_hung = silent_s >= self._hang_s
        figures = self.last.figures if self.last else None
        if silent_s < self._hang_s / 2:
            self.complaint = None
        elif figures is not None and figures.are_requests_open:
            self.complaint = f"{_who_is_stuck(figures, self._signs)} and has not produced a token for {silent_s:.0f} s."
        else:
            self.complaint = f"vLLM has not answered for {silent_s:.0f} s."

    def _complain_once(self) -> None:
        if not self._has_complained:
            say("engine", "vLLM does not tell whether it is asked: so the session does not stop when idle")
        self._has_complained = True

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._notify()
            self._stopped.wait(self._interval_s)

    def _ask(self) -> None:
        """Send the smallest question that vLLM takes; where it takes none of ours, /metrics is the only sign."""
        while self._kinds:
            status = self._send(*self._kinds[0])
            if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return
            if status < HTTPStatus.BAD_REQUEST:
                self._canaries += 1
                break
            self._kinds.pop(0)
        self._proof_at = time.monotonic()

    def _send(self, path: str, body: Mapping[str, object]) -> int | None:
        """Give the answer's status; None where there is no answer."""
        try:
            return post(self._socket_path, path, {"model": self._model, **body}, self._hang_s / 3)[0]
        except OSError:
            return None


def _who_is_stuck(figures: Figures, signs: Mapping[str, Sign]) -> str:
    stuck = min(signs, key=lambda name: signs[name].at)
    who = f"Replica {stuck} of vLLM" if len(figures.replicas) > 1 else "vLLM"
    return f"{who} has {figures.replicas[stuck].questions} open question(s)"

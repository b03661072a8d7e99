"""From the queue to the first answer: what `llm-hoster launch --wait` follows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from llm_hoster.engine.job.own_jobs import QueuedJob, own_jobs
from llm_hoster.engine.record.state import COMING, SERVING
from llm_hoster.errors import NotReadyError, SessionError
from llm_hoster.own_sessions import OwnSession
from llm_hoster.status_command.following import engine_reports
from llm_hoster.status_command.start_line import StartLine
from llm_hoster.status_command.text import clean, seconds_in_words

POLL_S = 2.0
# Slurm serves a whole cluster: a queue of hours need not be asked about every other second.
SLURM_POLL_S = 10.0


class StartUp:
    """One start that is waited for, at most `timeout_s` long."""

    def __init__(
        self,
        session: OwnSession,
        timeout_s: float | None,
        *,
        poll_s: float = POLL_S,
        slurm_poll_s: float = SLURM_POLL_S,
    ) -> None:
        self._session = session
        self._timeout_s = timeout_s
        self._began_at = time.monotonic()
        self._poll_s = poll_s
        self._slurm_poll_s = slurm_poll_s

    def wait(self) -> Mapping[str, Any]:
        """Give the engine's report once it serves; raise SessionError with the cause, or NotReadyError in time."""
        with StartLine() as line:
            self._wait_for_address(line)
            for engine in engine_reports(self._session, poll_s=self._poll_s):
                line.show(engine)
                if engine["state"] in SERVING:
                    return engine
                if engine["state"] not in COMING:
                    raise SessionError(clean(engine["cause"] or f"The engine is {engine['state']}."))
                self._require_time()
        raise AssertionError("reports come until one is the last or none is given")

    def _wait_for_address(self, line: StartLine) -> None:
        asked_at, was_gone = float("-inf"), False
        while self._session.endpoint is None:
            if self._session.has_ended:
                raise SessionError(clean(self._session.outcome.get("reason") or "It has ended."))
            if time.monotonic() - asked_at >= self._slurm_poll_s:
                jobs, asked_at = own_jobs(), time.monotonic()
                job = jobs.get(self._session.id) if jobs is not None else None
                is_gone = jobs is not None and job is None
                # Twice, because its last word may still be on its way through the file system.
                if is_gone and was_gone and self._session.endpoint is None and not self._session.outcome:
                    raise SessionError(
                        f"Its job has left Slurm's queue without a word: it was cancelled, or ended before our program "
                        f"began. {self._session.folder}/output.log may say more."
                    )
                was_gone = is_gone
                line.tell(_queue_text(job))
            self._require_time()
            time.sleep(self._poll_s)

    def _require_time(self) -> None:
        if self._timeout_s is not None and time.monotonic() - self._began_at > self._timeout_s:
            raise NotReadyError(
                f"Session {self._session.id} is not ready after {seconds_in_words(self._timeout_s)}; it goes on. "
                f"Look at it with: llm-hoster status {self._session.id}"
            )


def _queue_text(job: QueuedJob | None) -> str:
    if job is None:
        return "Waiting for a word from the job"
    if not job.waits:
        return f"The job has begun on {job.nodes}"
    start = f", expected to start at {job.starts_at}" if job.starts_at else ""
    return f"Waiting in the queue ({job.reason}{start})"

"""When Slurm will end the job. The limit may be changed while it runs, so squeue is asked now and then."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from llm_hoster.engine.job.slurm import ask_job
from llm_hoster.engine.record.job_log import say

# Slurm's controller serves the whole cluster: it is asked seldom, and more often when the answer matters.
INTERVAL_S = 300.0
NEAR_INTERVAL_S = 30.0
NEAR_S = 20 * 60.0
# Before the end of the job: so long nothing new is taken, and the last of it is for ending in order.
LIMIT_DRAIN_S = 60.0
LIMIT_RESERVE_S = 15.0
# An answer that differs by less is the same one: squeue tells whole seconds.
SLACK_S = 2.0


class TimeLimit:
    """`ends_at` in Unix seconds is what the job's environment said, until squeue says otherwise."""

    def __init__(self, ends_at: float, notify: Callable[[], None]) -> None:
        self.ends_at = ends_at
        self._notify = notify
        self._job_id = os.environ.get("SLURM_JOB_ID")

    def start(self) -> None:
        if self._job_id is not None:
            threading.Thread(target=self._watch, name="time limit", daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.look()
            is_near = self.ends_at - time.time() < NEAR_S
            time.sleep(NEAR_INTERVAL_S if is_near else INTERVAL_S)

    def look(self) -> None:
        """Ask once; keep what is known where there is no answer."""
        ends_at = self._ask()
        if ends_at is None or abs(ends_at - self.ends_at) < SLACK_S:
            return
        say("session", f"Slurm ends the job at {time.strftime('%F %T', time.localtime(ends_at))}")
        self.ends_at = ends_at
        self._notify()

    def _ask(self) -> float | None:
        assert self._job_id is not None  # noqa: S101 - start looks
        # The cluster's local time, which is the node's.
        try:
            return time.mktime(time.strptime(ask_job(self._job_id, "%e") or "", "%Y-%m-%dT%H:%M:%S"))
        except (ValueError, OverflowError):
            return None

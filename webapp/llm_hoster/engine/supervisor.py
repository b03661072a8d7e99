"""
The session's processes: vLLM and the pages, from the first to the last moment.

    starting ──► ready ──► failed          vLLM ended; the pages stay up for a while to say why
        │  └───────┼────────► │
        └──────────┴──────────┴──► stopping ──► stopped
"""

from __future__ import annotations

import queue
import shutil
import signal
import time
from pathlib import Path

from llm_hoster.engine.activity import Activity, idle_sentence, minutes
from llm_hoster.engine.ending import GRACE_S, ask_slurm_reason, end_processes, reason_of_end
from llm_hoster.engine.engine_process import EngineProcess
from llm_hoster.engine.folders import Folders
from llm_hoster.engine.guard import Guard, adopt_orphans
from llm_hoster.engine.job_log import say
from llm_hoster.engine.outcome import UNKNOWN_END, Charge, OutcomeFile
from llm_hoster.engine.state import State, StateName, write_state
from llm_hoster.engine.web_process import WebProcess

# Long enough to read the reason, short enough to spare the allocation.
FAILED_STAY_S = 15 * 60.0
OUTCOME_INTERVAL_S = 30.0
STATE_INTERVAL_S = 1.0
# Between vLLM's word that it is up and its first answer lie milliseconds.
EAGER_POLL_S = 0.02
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

ALLOWED: dict[StateName, tuple[StateName, ...]] = {
    "starting": ("ready", "failed", "stopping"),
    "ready": ("failed", "stopping"),
    "failed": ("stopping",),
    "stopping": ("stopped",),
    "stopped": (),
}


class Supervisor:
    """One thread owns all of it: other threads and signal handlers only wake it up."""

    def __init__(
        self,
        engine: EngineProcess,
        folders: Folders,
        charge: Charge,
        outcome_path: Path,
        *,
        failed_stay_s: float = FAILED_STAY_S,
        idle_s: float | None = None,
    ) -> None:
        """`idle_s` is for how long nobody may ask anything before the session ends; None = as long as it lasts."""
        self._engine = engine
        self._folders = folders
        self._charge = charge
        self._outcome = OutcomeFile(outcome_path, charge, engine.log)
        self._failed_stay_s = failed_stay_s
        self._idle_s = idle_s
        self._activity: Activity | None = None
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._web: WebProcess | None = None
        self._guard: Guard | None = None
        self._state: StateName = "starting"
        self._since = charge.started_at
        self._cause: str | None = None
        self._deciding_line: str | None = None
        self._ready_at: float | None = None
        self._leave_at: float | None = None
        self._signal: signal.Signals | None = None
        self._state_written_at = 0.0

    def catch_signals(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, self._take_signal)

    def start_engine(self) -> None:
        """Start vLLM; what goes wrong is the state `failed`, which the pages will tell."""
        adopt_orphans()
        try:
            self._engine.start(self._notify)
        except OSError as error:
            self._fail(f"vLLM cannot be started: {error.strerror} ({error.filename}). Tell the site's support.", None)
        self._guard = Guard(self._folders.runtime_dir)
        if self._engine.child.is_running:
            self._guard.watch(self._engine.child.pid)
            say("engine", f"vLLM is process {self._engine.child.pid}")
        self._write_state()

    def start_web(self, web: WebProcess) -> None:
        self._web = web
        web.start(self._notify)
        assert self._guard is not None  # noqa: S101 - start_engine comes first
        self._guard.watch(web.child.pid)

    def run(self) -> int:
        """Go on until the session ends; return the exit status."""
        while True:
            self._sleep()
            ending = self._ending()
            if ending is not None:
                exit_status, cause = ending
                self.close(cause)
                return exit_status
            if self._web is not None:
                self._web.hand_over_once()
            self._look_at_engine()
            self._write_files()

    def close(self, cause: str | None = None) -> None:
        """End every process and remove the node-local folder; `cause` is a sentence when something went wrong."""
        if self._state == "stopped":
            return
        self._enter("stopping", cause)
        self._write_state()
        cause = cause or self._cause
        self._write_end(cause, slurm_reason=None)
        children = [self._engine.child, *([self._web.child] if self._web else [])]
        end_processes(
            children,
            {self._guard.pid} if self._guard else set(),
            grace_s=GRACE_S,
            meanwhile=lambda: self._write_end(cause, slurm_reason=ask_slurm_reason()),
        )
        shutil.rmtree(self._folders.runtime_dir, ignore_errors=True)
        if self._guard is not None:
            self._guard.release()
        self._enter("stopped", None)

    def _take_signal(self, number: int, _frame: object) -> None:
        self._signal = self._signal or signal.Signals(number)
        self._notify()

    def _notify(self) -> None:
        self._wake.put(None)

    def _sleep(self) -> None:
        """Wait for news, or for the next thing to do by the clock."""
        timeout_s = STATE_INTERVAL_S if self._state == "starting" else OUTCOME_INTERVAL_S
        if self._state == "starting" and self._engine.says_it_is_up:
            timeout_s = EAGER_POLL_S
        if self._activity is not None:
            timeout_s = min(timeout_s, self._activity.interval_s)
        if self._leave_at is not None:
            timeout_s = min(timeout_s, max(0.0, self._leave_at - time.time()))
        try:
            self._wake.get(timeout=timeout_s)
            while True:
                self._wake.get_nowait()
        except queue.Empty:
            return

    def _ending(self) -> tuple[int, str | None] | None:
        """Exit status and cause, when the session must end now."""
        if self._signal is not None:
            return 0, None
        if self._web is not None and self._web.cause_of_end is not None:
            return 1, self._web.cause_of_end
        if self._leave_at is not None and time.time() >= self._leave_at:
            return 1, None
        if self._state == "ready" and self._activity is not None and self._activity.has_been_idle():
            return 0, idle_sentence(self._activity.idle_s)
        return None

    def _look_at_engine(self) -> None:
        self._engine.read_news()
        if self._state not in ("starting", "ready"):
            return
        if self._engine.has_ended:
            self._engine.fail_steps()
            failure = self._engine.failure()
            # Parts of a dead vLLM may live on and hold the GPU.
            self._engine.child.signal_group(signal.SIGKILL)
            self._fail(failure.cause, failure.deciding_line)
        elif self._state == "starting" and self._engine.is_healthy():
            self._engine.finish_steps()
            self._ready_at = time.time()
            self._enter("ready", f"vLLM answers {self._ready_at - self._charge.started_at:.1f} s after our start")
            self._write_state()
            if self._idle_s is not None:
                self._activity = Activity(self._folders.socket_path, self._idle_s)
                say("engine", f"the session ends by itself after {minutes(self._idle_s)} without a question")

    def _fail(self, cause: str, deciding_line: str | None) -> None:
        self._cause, self._deciding_line = cause, deciding_line
        self._leave_at = time.time() + self._failed_stay_s
        self._enter("failed", cause)
        if deciding_line:
            say("engine", f"the deciding line: {deciding_line}")
        say("engine", f"the pages stay for {self._failed_stay_s / 60:.0f} minutes to tell why, then the job ends")
        self._write_state()
        self._write_running_outcome()

    def _enter(self, state: StateName, cause: str | None) -> None:
        assert state in ALLOWED[self._state], (self._state, state)  # noqa: S101 - a mistake of this file
        now = time.time()
        say("engine", f"{self._state} -> {state} after {now - self._since:.1f} s" + (f": {cause}" if cause else ""))
        self._state, self._since = state, now

    def _write_files(self) -> None:
        now = time.time()
        if self._state == "starting" and now - self._state_written_at >= STATE_INTERVAL_S:
            self._write_state()
        if now - self._outcome.written_at >= OUTCOME_INTERVAL_S:
            self._write_running_outcome()

    def _write_running_outcome(self) -> None:
        reason = f"{self._cause} Then: {UNKNOWN_END}" if self._cause else UNKNOWN_END
        self._outcome.write(reason, has_ended=False, deciding_line=self._deciding_line)

    def _write_end(self, cause: str | None, *, slurm_reason: str | None) -> None:
        reason = reason_of_end(
            self._signal, cause, slurm_reason=slurm_reason, ends_at=self._charge.ends_at, now=time.time()
        )
        self._outcome.write(reason, has_ended=True, deciding_line=self._deciding_line)

    def _write_state(self) -> None:
        self._state_written_at = time.time()
        state = State(
            state=self._state,
            since=self._since,
            started_at=self._charge.started_at,
            log=str(self._engine.log),
            cause=self._cause,
            deciding_line=self._deciding_line,
            steps=self._engine.steps(),
            ready_at=self._ready_at,
            ends_at=self._leave_at,
        )
        try:
            write_state(self._folders.state_path, state)
        except OSError as error:
            say("engine", f"{self._folders.state_path} cannot be written: {error.strerror}")

"""
What a session serves: one plan after the other, each run watched, started again and replaced.

The states are the journal's; the supervisor decides when all of it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from llm_hoster.engine.failures.failure import Failure
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.record.state import COMING, SERVING
from llm_hoster.engine.run.engine_run import EngineRun
from llm_hoster.engine.run.plan import Plan
from llm_hoster.engine.supervision.journal import Journal
from llm_hoster.engine.supervision.pulse import LOOK_INTERVAL_S, Pulse
from llm_hoster.engine.supervision.restart_policy import RestartPolicy
from llm_hoster.engine.supervision.sleepers import Sleepers
from llm_hoster.engine.vllm.adapter import Adapter
from llm_hoster.engine.vllm.figures import read_figures

# Running answers may come to their end before another model takes over.
DRAIN_S = 60.0
DRAIN_POLL_S = 0.2
COMING_INTERVAL_S = 1.0
# Between vLLM's word that it is up and its first answer lie milliseconds.
EAGER_POLL_S = 0.02
# Loading and compiling may be silent for many minutes; longer than this it is stuck, and the GPUs cost.
SILENT_START_S = 45 * 60.0


@dataclass(frozen=True)
class Pending:
    """The plan that comes next: not before a time, and not while answers are running (until another). Unix seconds."""

    plan: Plan
    not_before: float = 0.0
    drain_until: float = 0.0


class Service:
    """Owned by the supervisor's thread."""

    def __init__(
        self,
        plan: Plan,
        folders: Folders,
        log: Path,
        journal: Journal,
        notify: Callable[[], None],
        kill_strays: Callable[[Sequence[Child]], None],
        *,
        hang_s: float,
        silent_start_s: float,
        look_interval_s: float = LOOK_INTERVAL_S,
    ) -> None:
        """`kill_strays` ends what has left the group of a run that has ended, and spares these."""
        self.plan = plan
        self.pulse: Pulse | None = None
        self.ready_at: float | None = None
        self._folders = folders
        self._log = log
        self._journal = journal
        self._notify = notify
        self._kill_strays = kill_strays
        self._hang_s = hang_s
        self._silent_start_s = silent_start_s
        self._look_interval_s = look_interval_s
        self._policy = RestartPolicy()
        self._sleepers = Sleepers(folders, journal, notify)
        self.run = self._new_run(plan)
        # The plan that has served last: what fails gives way to it.
        self._proven: Plan | None = None
        self._served_from = 0.0
        self._pending: Pending | None = None
        # Until when answers may come to their end, once nothing new is taken any more.
        self._drain_until: float | None = None

    def start(self) -> None:
        """Begin with the first plan; what goes wrong shows at the next look."""
        self.run.start()

    @property
    def children(self) -> list[Child]:
        return [child for run in (self.run, *self._others) for child in run.children]

    @property
    def asleep(self) -> str | None:
        """Name the model that sleeps."""
        return next((run.plan.model.name for run in self._others), None)

    @property
    def _others(self) -> list[EngineRun]:
        """Those that sleep, but for the present one on its way to sleep or back."""
        return [run for run in self._sleepers.runs if run is not self.run]

    @property
    def interval_s(self) -> float | None:
        """How soon to look again, in seconds; None = at the next news."""
        if self._sleepers.is_moving:
            return COMING_INTERVAL_S
        if self._pending is not None and not self._pending.drain_until:
            return min(COMING_INTERVAL_S, max(0.0, self._pending.not_before - time.time()))
        if self._pending is not None or self._drain_until is not None:
            return DRAIN_POLL_S
        if self._journal.state not in COMING:
            return None
        return EAGER_POLL_S if self.run.is_about_to_answer else COMING_INTERVAL_S

    def serve_by(self, plan: Plan, state: Literal["restarting", "switching"]) -> None:
        """Serve by another plan, as somebody asks for, as soon as the running answers have ended."""
        title = plan.model.title
        drain_until = time.time() + DRAIN_S if self._journal.state in SERVING else 0.0
        if self._journal.state == "degraded":
            self._sleepers.leave_awake(self.run)
        if self._pending is not None:
            drain_until = self._pending.drain_until  # Somebody has changed their mind: the same answers may end.
        self._stop_pulse()
        self._journal.enter(
            state, f"{title} is asked for." if state == "switching" else f"{title} is started again, as asked for."
        )
        self._policy.forget()
        self._pending = Pending(plan, drain_until=drain_until)

    def take_adapters(self, served: Sequence[Adapter]) -> None:
        """vLLM has these LoRA adapters now: a start after a crash must have them again."""
        self._take_plan(self.plan.with_adapters(served), instead_of=self.plan)
        self.run.plan = self.plan

    def stop_taking(self, until: float) -> None:
        """Nothing new comes any more; `until` then, answers may come to their end."""
        self._stop_pulse()
        self._end_sleepers(self._sleepers.runs)
        self._pending = None
        self._drain_until = until

    @property
    def is_drained(self) -> bool:
        return self._is_drained(self._drain_until or 0.0)

    def let_go(self) -> None:
        """End the engine in order."""
        self._drain_until = None
        self._end(self.run, self.run.stop)

    def look(self) -> bool:
        """Do what is to be done by now; say whether the pages should be told at once."""
        before = self._journal.state
        self.run.look()
        self._look_at_sleepers()
        if self._journal.state in COMING:
            self._look_at_start(time.time())
        elif self._journal.state in SERVING:
            self._look_at_service()
        return self._journal.state != before

    def _look_at_start(self, now: float) -> None:
        if self._pending is not None:
            plan = self._pending.plan
            is_time = now >= self._pending.not_before and self._is_drained(self._pending.drain_until)
            if is_time and self._is_out_of_the_way(plan):
                self._start(plan)
        elif self._sleepers.is_moving:
            return  # It is being woken.
        elif self.run.failure is not None:
            self._take_failure(self.run.failure)
        elif self.run.is_healthy():
            self._become_ready(now)
        elif self.run.silent_s > self._silent_start_s:
            minutes = self._silent_start_s / 60
            self._take_failure(Failure(f"vLLM has said nothing for {minutes:g} minutes while it started.", None))

    def _look_at_service(self) -> None:
        pulse = self.pulse
        assert pulse is not None  # noqa: S101 - it began with the service
        if self.run.failure is not None:
            self._take_failure(self.run.failure)
        elif pulse.is_hung:
            self._take_failure(Failure(f"The engine hangs. {pulse.complaint}", None))
        elif (pulse.complaint is not None) != (self._journal.state == "degraded"):
            self._journal.enter("degraded" if pulse.complaint else "ready", pulse.complaint)

    def _become_ready(self, now: float) -> None:
        if not self.run.is_up:
            self.run.finish_steps()
        self._proven = self.plan
        self._served_from = time.monotonic()
        self.ready_at = self.ready_at or now
        self._journal.enter("ready", f"vLLM answers after {now - self.run.began_at:.1f} s")
        self.pulse = Pulse(
            self._folders.socket_path,
            self.plan.model.name,
            self._notify,
            hang_s=self._hang_s,
            interval_s=self._look_interval_s,
        )
        self.pulse.start()

    def _take_failure(self, failure: Failure) -> None:
        """vLLM has ended, or is of no use: try again, go back to what has served, or give up."""
        is_start = self.pulse is None
        served_s = time.monotonic() - self._served_from if self.pulse is not None else 0.0
        self._stop_pulse()
        self._end(self.run, self.run.kill)
        if is_start and failure.wants_memory and self._sleepers.runs:
            self._start_alone(failure)
            return
        if self._proven is not None and self.plan is not self._proven:
            self._go_back(self._proven, failure)
            return
        delay_s = self._policy.delay_after_crash(served_s) if self._proven is not None else None
        if delay_s is None:
            self._journal.enter("failed", failure=failure)
            return
        self._journal.enter("restarting", failure=failure)
        self._pending = Pending(self.plan, not_before=time.time() + delay_s)

    def _go_back(self, proven: Plan, failure: Failure) -> None:
        is_same = proven.model.name == self.plan.model.name
        back = "It comes back as it was before." if is_same else f"{proven.model.title} comes back."
        cause = f"{self.plan.model.title} could not be started. {failure.cause} {back}"
        self._journal.enter("switching", failure=replace(failure, cause=cause, remedy=None))
        self._start(proven)

    def _start_alone(self, failure: Failure) -> None:
        """What sleeps keeps a little of the GPU, and much of the job's memory."""
        titles = " and ".join(run.plan.model.title for run in self._sleepers.runs)
        self._end_sleepers(self._sleepers.runs)
        cause = f"{failure.cause} {titles}, which slept, is ended to make room, and it is tried once more."
        self._journal.enter("switching", failure=replace(failure, cause=cause, remedy=None))
        self._start(self.plan)

    def _is_out_of_the_way(self, plan: Plan) -> bool:
        """Lay down what serves, so that it can come back; where it cannot, the next start ends it."""
        if self._sleepers.is_moving:
            return False
        is_asleep = self.run in self._sleepers.runs
        if not is_asleep and not self._sleepers.may_take(self.run, plan):
            return True
        self._end_sleepers([run for run in self._sleepers.runs if not self._stays_asleep(run, plan)])
        if is_asleep or not self._sleepers.has_room_for(self.run):
            return True
        self._sleepers.lay_down(self.run)
        return False

    def _stays_asleep(self, run: EngineRun, plan: Plan) -> bool:
        """Whether it is the one that is wanted next, or the one that has just lain down for another model."""
        return run.plan.serves_like(plan) or (run is self.run and run.plan.model.name != plan.model.name)

    def _look_at_sleepers(self) -> None:
        move = self._sleepers.look()
        if move is not None and move.error is not None:
            self._end_sleepers([move.run])
            if move.into == "service" and self._pending is None:
                self._start(self.plan)
        for run in self._sleepers.runs:
            run.look()
            if run.failure is not None and not self._sleepers.is_moving:
                self._journal.note(f"{run.plan.model.title}, which slept, has ended.")
                self._end_sleepers([run])

    def _end_sleepers(self, runs: Sequence[EngineRun]) -> None:
        for run in runs:
            self._end(run, run.kill)
            self._sleepers.forget(run)

    def _start(self, plan: Plan) -> None:
        """Start vLLM anew, after what runs has ended; or wake it, where it sleeps."""
        if self.run not in self._sleepers.runs:
            self._end(self.run, self.run.stop)
        now = plan.with_adapters_of_now()
        if now is not plan and plan.adapters is not None and now.adapters is not None:
            gone = {each.name for each in plan.adapters.served} - {each.name for each in now.adapters.served}
            if gone:
                self._journal.note(
                    f"Adapters that have gone or cannot be read are left out: {', '.join(sorted(gone))}."
                )
        self._take_plan(now, instead_of=plan)
        self._pending = None
        sleeper = self._sleepers.find(now)
        if sleeper is not None:
            self.run = sleeper
            sleeper.begin_again()
            self._sleepers.wake(sleeper)
        else:
            self.run = self._new_run(now)
            self.run.start()

    def _new_run(self, plan: Plan) -> EngineRun:
        return EngineRun(plan, self._folders, self._log, self._notify)

    def _take_plan(self, plan: Plan, *, instead_of: Plan) -> None:
        """The same plan but for adapters: what was proven of it still is."""
        if self._proven is instead_of:
            self._proven = plan
        self.plan = plan

    def _end(self, run: EngineRun, end_groups: Callable[[], None]) -> None:
        """Ray's processes are in no group of ours, and what they share is free only after their end."""
        end_groups()
        self._kill_strays([child for child in self.children if child not in run.children])
        run.clear()

    def _stop_pulse(self) -> None:
        if self.pulse is not None:
            self.pulse.stop()
            self.pulse = None

    def _is_drained(self, until: float) -> bool:
        """Whether no answer is running any more, or it has been waited for long enough."""
        if time.time() >= until or self.run.failure is not None or self.run in self._sleepers.runs:
            return True
        figures = read_figures(self._folders.socket_path)
        return figures is not None and not figures.are_requests_open

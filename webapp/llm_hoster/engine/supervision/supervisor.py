"""
The session's processes: vLLM and the pages, from the first to the last moment.

    starting ──► ready ◄──► degraded       it serves; degraded: it gives signs of being stuck
        │          │  ▲
        │          ▼  │
        │    restarting · switching        vLLM has died, or somebody wants it otherwise
        ▼          ▼
        failed ◄───┘                       the pages stay up for a while to say why, and to try again
                  … ──► stopping ──► stopped
"""

from __future__ import annotations

import queue
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from llm_hoster.engine.chain.chain import Chain, is_early
from llm_hoster.engine.job.ending import GRACE_S, ask_slurm_reason, end_processes, reason_of_end
from llm_hoster.engine.job.time_limit import LIMIT_DRAIN_S, LIMIT_RESERVE_S, TimeLimit
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.process.guard import Guard, adopt_orphans, kill_descendants
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.job_log import say
from llm_hoster.engine.record.order import Order
from llm_hoster.engine.record.outcome import UNKNOWN_END, Charge, OutcomeFile
from llm_hoster.engine.record.state import COMING, SERVING, ServedModel, StateName
from llm_hoster.engine.record.successor import Successor
from llm_hoster.engine.run.plan import Plan, Planner
from llm_hoster.engine.supervision.activity import Activity, idle_sentence, minutes
from llm_hoster.engine.supervision.adapters import Adapters
from llm_hoster.engine.supervision.control import Control
from llm_hoster.engine.supervision.journal import Journal
from llm_hoster.engine.supervision.pulse import HANG_S, LOOK_INTERVAL_S
from llm_hoster.engine.supervision.service import SILENT_START_S, Service
from llm_hoster.engine.supervision.web_process import WebProcess
from llm_hoster.errors import LLMHosterError

# Long enough to read the reason, short enough to spare the allocation.
FAILED_STAY_S = 15 * 60.0
OUTCOME_INTERVAL_S = 30.0
COMING_INTERVAL_S = 1.0
DUE_POLL_S = 0.02
STATE_INTERVAL_S = 10.0
# A fault of ours that comes back with every pass is none that goes away.
FAULTS_MAX = 20
# A question takes milliseconds from the look at the state to vLLM.
HAND_OVER_S = 2.0
TIME_LIMIT = "The time limit of the job was reached."
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Ending(NamedTuple):
    exit_status: int
    cause: str | None


class Supervisor:
    """One thread owns all of it: other threads and signal handlers only wake it up."""

    def __init__(
        self,
        planner: Planner,
        plan: Plan,
        folders: Folders,
        charge: Charge,
        outcome_path: Path,
        log: Path,
        *,
        on_model: Callable[[ServedModel], None] = lambda model: None,
        chain: Chain | None = None,
        failed_stay_s: float = FAILED_STAY_S,
        idle_s: float | None = None,
        hang_s: float = HANG_S,
        silent_start_s: float = SILENT_START_S,
    ) -> None:
        """
        `on_model` is told what is served, each time that it may have changed.

        `idle_s` is for how long nobody may ask anything before the session ends; None = as long as it lasts.
        """
        self._planner = planner
        self._on_model = on_model
        self._chain = chain
        self._successor: Successor | None = None
        self._folders = folders
        self._charge = charge
        self._outcome = OutcomeFile(outcome_path, charge, log)
        self._failed_stay_s = failed_stay_s
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._journal = Journal(folders.state_path, charge.started_at, log)
        self._limit = TimeLimit(charge.ends_at, self._notify)
        self._activity = None if idle_s is None else Activity(idle_s)
        self._service = Service(
            plan,
            folders,
            log,
            self._journal,
            self._notify,
            self._kill_strays,
            hang_s=hang_s,
            silent_start_s=silent_start_s,
            look_interval_s=LOOK_INTERVAL_S if idle_s is None else min(LOOK_INTERVAL_S, idle_s / 4),
        )
        self._adapters = Adapters(self._service, self._journal, folders.socket_path, self._notify)
        self._control: Control | None = None
        self._web: WebProcess | None = None
        self._guard: Guard | None = None
        self._watched: list[int] = []
        self._leave_at: float | None = None
        # Questions on their way to vLLM when the pages learn of the next session have arrived by then.
        self._let_go_from: float | None = None
        self._signal: signal.Signals | None = None
        self._is_told_to_stop = False
        self._is_idleness_told = False
        self._faults = 0

    def catch_signals(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, self._take_signal)

    def start_engine(self) -> None:
        """Start vLLM; what goes wrong is the state `failed`, which the pages will tell."""
        adopt_orphans()
        self._service.start()
        self._guard = Guard(self._folders.runtime_dir, self._notify)
        self._watch_children()
        self._write_state()
        # Before the card can show anything: whatever happens from now on, it has a word for it.
        self._write_running_outcome()
        self._control = Control(self._folders.control_path, self._notify)
        self._limit.start()
        if self._chain is not None:
            self._chain.start(self._notify)

    def start_web(self, web: WebProcess) -> None:
        self._web = web
        web.start(self._notify)
        self._watch_children()

    def run(self) -> int:
        """Go on until the session ends; return the exit status."""
        while True:
            self._sleep()
            try:
                ending = self._pass()
                self._faults = 0
            except Exception:
                # Whatever it was: the engine may serve well, and somebody pays for it.
                self._faults += 1
                if self._faults >= FAULTS_MAX:
                    raise
                traceback.print_exc()
                continue
            if ending is not None:
                self.close(ending.cause)
                return ending.exit_status

    def _pass(self) -> Ending | None:
        """Do all that is to be done by now."""
        ending = self._ending()
        if ending is not None:
            return ending
        assert self._control is not None  # noqa: S101 - start_engine comes first
        self._control.carry_out(self._judge)
        if self._web is not None:
            self._web.look()
            self._web.hand_over_once()
        if self._chain is not None:
            self._look_at_chain(self._chain)
        self._look_at_service()
        if self._adapters.take_change():
            self._write_state()
        self._watch_children()
        self._write_files()
        return self._ending()

    def close(self, cause: str | None = None) -> None:
        """End every process and remove the node-local folder; `cause` is a sentence when something went wrong."""
        if self._journal.state == "stopped":
            return
        cause = cause or self._journal.trouble
        if self._journal.state != "stopping":
            self._journal.enter("stopping", cause)
        self._write_state()
        self._write_end(cause, slurm_reason=None)
        self._service.run.abandon()
        if self._control is not None:
            self._control.close()
        end_processes(
            [*self._service.children, *([self._web.child] if self._web else [])],
            {self._guard.pid} if self._guard else set(),
            grace_s=GRACE_S,
            meanwhile=lambda: self._write_last(cause),
        )
        self._service.run.clear()
        shutil.rmtree(self._folders.runtime_dir, ignore_errors=True)
        if self._guard is not None:
            self._guard.release()
        self._journal.enter("stopped")

    # --- What wakes it up ---

    def _take_signal(self, number: int, _frame: object) -> None:
        self._signal = self._signal or signal.Signals(number)
        self._notify()

    def _notify(self) -> None:
        self._wake.put(None)

    def _sleep(self) -> None:
        """Wait for news, or for the next thing to do by the clock."""
        interval_s = self._service.interval_s
        timeout_s = STATE_INTERVAL_S if interval_s is None else interval_s
        times = [self._leave_at, self._let_go_from, self._limit.ends_at - LIMIT_DRAIN_S]
        times += [self._activity.due_at()] if self._activity is not None else []
        times += [self._chain.look_at()] if self._chain is not None else []
        times += [self._web.due_at()] if self._web is not None else []
        times += [self._limit.ends_at - LIMIT_RESERVE_S] if self._successor is not None else []
        now = time.time()
        for at in times:
            # What came due since the last pass wants another one at once; what has long been due waits for news.
            if at is not None and at > now - COMING_INTERVAL_S:
                timeout_s = min(timeout_s, max(DUE_POLL_S, at - now))
        try:
            self._wake.get(timeout=timeout_s)
            while True:
                self._wake.get_nowait()
        except queue.Empty:
            return

    # --- What people ask for ---

    def _judge(self, order: Order) -> str | None:
        """Carry an order out, or begin to; give the sentence that refuses it."""
        if self._journal.state in ("stopping", "stopped"):
            return "The session is ending."
        if self._successor is not None and order.kind in ("restart", "switch", "adapters"):
            return "The next session of the row has taken over. Open that one: it can do this."
        try:
            match order.kind:
                case "stop":
                    self._is_told_to_stop = True
                case "stay":
                    if self._activity is not None:
                        self._activity.touch()
                case "adapters":
                    self._adapters.look_again()
                case "restart":
                    adjustment = Adjustment.parse(order.values)
                    plan = self._planner.plan(self._service.plan.values, adjustment)
                    self._service.serve_by(plan, "restarting")
                case "switch":
                    self._service.serve_by(self._planner.plan(order.values, Adjustment()), "switching")
        except (LLMHosterError, OSError, ValueError) as error:
            return str(error)
        self._leave_at = None if order.kind in ("restart", "switch") else self._leave_at
        self._write_state()
        return None

    # --- What the engine does ---

    def _look_at_service(self) -> None:
        if self._successor is not None:
            self._let_engine_go()
            return
        before = self._journal.state
        if self._service.look():
            self._tell_state(before)
        if self._activity is not None:
            self._activity.take(self._service.pulse.last if self._service.pulse else None)

    def _tell_state(self, before: StateName) -> None:
        """Tell whom it concerns that the state is another one."""
        if self._journal.state == "ready" and before in COMING:
            self._become_ready()
        elif self._journal.state == "failed":
            self._leave_at = time.time() + self._failed_stay_s
            say("engine", f"the pages stay for {self._failed_stay_s / 60:.0f} minutes to tell why, then the job ends")
        self._write_state()
        self._write_running_outcome()

    def _become_ready(self) -> None:
        plan, ready_at = self._service.plan, self._service.ready_at
        self._on_model(plan.model)
        if self._chain is not None:
            self._chain.prepare(plan, (ready_at or time.time()) - self._charge.started_at)
            self._chain.announce(plan.model)
        if self._activity is not None:
            self._activity.touch()
            say("engine", f"the session ends by itself after {minutes(self._activity.idle_s)} without a question")

    # --- The next session in a row ---

    def _look_at_chain(self, chain: Chain) -> None:
        successor = chain.look()
        for sentence in chain.news():
            self._journal.note(sentence)
            self._write_state()
        if successor is not None:
            self._hand_over(successor)

    def _hand_over(self, successor: Successor) -> None:
        """Send new questions to the next session; those that are being answered here come to their end here."""
        self._successor, self._activity, self._leave_at = successor, None, None
        sentence = f"The next session, job {successor.job_id}, has taken over. It answers at {successor.base_url}."
        if self._journal.state in ("ready", "stopping"):
            say("chain", sentence)
            self._journal.note(sentence)
        else:
            self._journal.enter("ready", sentence)
        self._service.stop_taking(self._limit.ends_at - LIMIT_RESERVE_S)
        self._let_go_from = time.time() + HAND_OVER_S
        self._write_state()

    def _let_engine_go(self) -> None:
        if self._let_go_from is not None and time.time() >= self._let_go_from and self._service.is_drained:
            self._let_go_from = None
            self._service.let_go()
            self._journal.note("Its engine has written its last answer and has ended.")
            self._write_state()

    def _watch_children(self) -> None:
        """Tell the guard whom to end if this process is killed; have another one where somebody has killed it."""
        if self._guard is not None and not self._guard.is_running:
            self._guard, self._watched = Guard(self._folders.runtime_dir, self._notify), []
        children = [*self._service.children, *([self._web.child] if self._web else [])]
        groups = [child.pid for child in children if not child.group_is_gone()]
        if self._guard is not None and groups != self._watched:
            self._guard.watch(groups)
            self._watched = groups

    def _kill_strays(self, others: Sequence[Child]) -> None:
        """What has left its group is ours by adoption now."""
        spared = {self._guard.pid} if self._guard else set()
        spared |= {child.pid for child in (*others, *([self._web.child] if self._web else []))}
        kill_descendants(spared, timeout_s=2.0, spare_own_session=True)

    # --- How it ends ---

    def _ending(self) -> Ending | None:
        """Exit status and cause, when the session must end now."""
        now = time.time()
        if self._signal is not None:
            return Ending(0, None)
        if self._is_told_to_stop:
            return Ending(0, "The session was ended from its page.")
        if self._web is not None and self._web.cause_of_end is not None:
            return Ending(1, self._web.cause_of_end)
        if self._chain is not None and self._chain.unwanted is not None:
            return Ending(0, self._chain.unwanted)
        if self._leave_at is not None and now >= self._leave_at:
            return Ending(1, None)
        if self._activity is not None and self._journal.state in SERVING and self._activity.is_over:
            return Ending(0, idle_sentence(self._activity.idle_s))
        return self._ending_at_limit(now)

    def _ending_at_limit(self, now: float) -> Ending | None:
        """Take nothing new a minute before Slurm ends the job, and end in order when the last answer is written."""
        if self._successor is not None:
            # Nothing is asked of this engine any more, and questions are passed on as long as there is time.
            return Ending(0, TIME_LIMIT) if now >= self._limit.ends_at - LIMIT_RESERVE_S else None
        if now < self._limit.ends_at - LIMIT_DRAIN_S:
            return None
        if self._journal.state in SERVING:
            self._journal.enter("stopping", TIME_LIMIT)
            self._service.stop_taking(self._limit.ends_at - LIMIT_RESERVE_S)
            self._write_state()
        is_draining = self._journal.state == "stopping" and not self._service.is_drained
        return None if is_draining else Ending(0, TIME_LIMIT)

    # --- What it writes ---

    def _write_files(self) -> None:
        now = time.time()
        interval_s = COMING_INTERVAL_S if self._journal.state in COMING else STATE_INTERVAL_S
        has_news = (self._idle_ends_at() is None) == self._is_idleness_told
        if has_news or now - self._journal.written_at >= interval_s:
            self._write_state()
        if now - self._outcome.written_at >= OUTCOME_INTERVAL_S:
            self._write_running_outcome()

    def _write_running_outcome(self) -> None:
        trouble = self._journal.trouble
        reason = f"{trouble} Then: {UNKNOWN_END}" if trouble else UNKNOWN_END
        self._outcome.write(reason, has_ended=False, deciding_line=self._journal.deciding_line)

    def _write_last(self, cause: str | None) -> None:
        slurm_reason = ask_slurm_reason()
        reason = self._write_end(cause, slurm_reason=slurm_reason)
        left_s = self._limit.ends_at - time.time()
        has_successor = self._successor is not None
        if self._chain is not None and is_early(
            self._signal, slurm_reason, is_told=self._is_told_to_stop, has_successor=has_successor, left_s=left_s
        ):
            self._chain.call_off(reason)

    def _write_end(self, cause: str | None, *, slurm_reason: str | None) -> str:
        reason = reason_of_end(
            self._signal, cause, slurm_reason=slurm_reason, ends_at=self._limit.ends_at, now=time.time()
        )
        self._outcome.write(reason, has_ended=True, deciding_line=self._journal.deciding_line)
        return reason

    def _idle_ends_at(self) -> float | None:
        return self._activity.ends_at() if self._activity is not None and self._journal.state in SERVING else None

    def _write_state(self) -> None:
        idle_ends_at = self._idle_ends_at()
        self._is_idleness_told = idle_ends_at is not None
        self._journal.write(
            model=self._service.plan.model,
            steps=self._service.run.steps(),
            remaining_s=self._service.run.remaining_s() if self._journal.state in COMING else None,
            ready_at=self._service.ready_at,
            ends_at=self._leave_at,
            idle_ends_at=idle_ends_at,
            job_ends_at=self._limit.ends_at,
            successor=self._successor,
            adapters=self._adapters.names,
            adapter_look=self._adapters.look,
            asleep=self._service.asleep,
        )

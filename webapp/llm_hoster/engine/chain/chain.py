"""
Sessions in a row: the next one waits in the queue, loads while this one still serves, and takes over.

What takes long, home folders and Slurm's programs, is done in a thread; the supervisor asks what has come of it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llm_hoster.catalogue.price import OVERLAP_MINUTES
from llm_hoster.engine.chain import next_job
from llm_hoster.engine.chain.predecessor import CALLED_OFF_FILE, Predecessor, require_wanted
from llm_hoster.engine.job.ending import CLOCK_SLACK_S, NO_REASON
from llm_hoster.engine.job.slurm import cancel_job
from llm_hoster.engine.job.time_limit import LIMIT_DRAIN_S
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.engine.record.handover import Handover
from llm_hoster.engine.record.job_log import say
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.record.successor import Successor, read_successor
from llm_hoster.engine.run.plan import Plan
from llm_hoster.errors import SessionError

NEXT_FILE = "next.json"
LOOK_INTERVAL_S = 2.0
# Slurm may be away for a while, or one's jobs too many.
TRIES = 3
RETRY_S = 600.0
CALL_OFF_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Wish:
    """How the next one shall serve: as this one does by now. `start_s` is what its start took."""

    values: Mapping[str, str]
    adjustment: Adjustment
    start_s: float


def overlap_minutes(start_s: float, hours: int) -> int:
    """
    Give for how long two sessions run side by side: what the start takes, and a margin for the wait in the queue.

    Both are charged meanwhile, so it is never more than a quarter of the hours.
    """
    return min(math.ceil(start_s / 60) + OVERLAP_MINUTES, hours * 15)


class Chain:
    """Made for a session with one after it, or one before it. Owned by the supervisor's thread."""

    def __init__(
        self,
        handover: Handover,
        api_key: str,
        predecessor: Predecessor | None,
        *,
        chain_length: int,
        hours: int,
        started_at: float,
        overlap_min: int | None = None,
    ) -> None:
        """`chain_length` counts this session and those to come; `overlap_min` is instead of what the start says."""
        # A sentence, when the sessions before were ended early while this one was loading.
        self.unwanted: str | None = None
        self._handover = handover
        self._api_key = api_key
        self._predecessor = predecessor
        self._chain_length = chain_length
        self._hours = hours
        self._started_at = started_at
        self._overlap_min = overlap_min
        self._place = 1 if predecessor is None else predecessor.place + 1
        self._folder = handover.staged_root
        self._next_folder = next_job.next_folder(self._folder, self._place)
        self._notify: Callable[[], None] = lambda: None
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._submitting = threading.Lock()
        self._is_called_off = False
        self._is_staged = False
        self._wish: Wish | None = None
        self._tries = 0
        self._try_at: float | None = None
        self._are_pages_up = False
        self._served: ServedModel | None = None
        self._told: ServedModel | None = None
        # When the next one may start by Slurm's leave, and its job's number; None before it is submitted.
        self._due_at: float | None = None
        self._job_id: str | None = None

    def start(self, notify: Callable[[], None]) -> None:
        """`notify` is called from another thread when there is news."""
        self._notify = notify
        threading.Thread(target=self._work, name="chain", daemon=True).start()

    # --- The next session ---

    def prepare(self, plan: Plan, start_s: float) -> None:
        """This session serves by `plan`: submit one that goes on with it, or change the one that waits."""
        if self._chain_length > 1:
            self._tasks.put(lambda: self._prepare(Wish(plan.values, plan.adjustment, start_s)))

    def news(self) -> list[str]:
        """Give the sentences that have come since the last call."""
        sentences = []
        while not self._news.empty():
            sentences.append(self._news.get())
        return sentences

    def look(self) -> Successor | None:
        """Give the next session once it serves; from then on the endpoint's file names it."""
        if self._try_at is not None and time.time() >= self._try_at:
            self._try_at = None
            self._tasks.put(self._submit)
        if self._due_at is None or time.time() < self._due_at:
            return None
        successor = read_successor(self._folder)
        if successor is not None:
            self._due_at = None
            handover = dataclasses.replace(self._handover, host=successor.host, port=successor.port)
            _follow(handover, self._api_key, successor.model)
        return successor

    def look_at(self) -> float | None:
        """Give the time, in Unix seconds, of the next `look` that may find anything."""
        times = [self._try_at]
        if self._due_at is not None:
            times.append(max(self._due_at, time.time() + LOOK_INTERVAL_S))
        return min((at for at in times if at is not None), default=None)

    def call_off(self, reason: str) -> None:
        """This session ends early: so does the row. It takes some seconds at most."""
        if self._chain_length == 1:
            return
        self._is_called_off = True
        # First of all, in case that no time is left for more: it reads this before it does anything.
        if self._next_folder.is_dir():
            try:
                replace_file(self._next_folder / CALLED_OFF_FILE, reason)
            except OSError as error:
                say("chain", f"{self._next_folder} cannot be written: {error.strerror}")
        if self._submitting.acquire(timeout=CALL_OFF_TIMEOUT_S):
            self._submitting.release()
        if self._job_id is not None:
            was_taken = cancel_job(self._job_id)
            say("chain", f"the next session, job {self._job_id}, is {'' if was_taken else 'not '}cancelled")

    # --- The sessions before ---

    def announce(self, model: ServedModel) -> None:
        """Tell those before that this one serves `model`, as soon as its pages answer too."""
        self._served = model
        self._announce_once()

    def pages_answer(self) -> None:
        self._are_pages_up = True
        self._announce_once()

    def _announce_once(self) -> None:
        predecessor, model = self._predecessor, self._served
        if predecessor is not None and model is not None and self._are_pages_up and model != self._told:
            self._told = model
            self._tasks.put(lambda: self._announce(predecessor, model))

    def _announce(self, predecessor: Predecessor, model: ServedModel) -> None:
        handover = self._handover
        job_id = os.environ.get("SLURM_JOB_ID", "")
        me = Successor(handover.host, handover.port, handover.proxy, model.name, model.title, job_id, str(self._folder))
        try:
            require_wanted(self._folder, predecessor)
        except SessionError as error:
            self.unwanted = str(error)
            self._notify()
            return
        for folder in predecessor.folders():
            _follow(dataclasses.replace(handover, staged_root=folder), self._api_key, model.name)
            try:
                me.write(folder)
            except OSError as error:
                say("chain", f"{folder} cannot be written: {error.strerror}")
        say("chain", f"the session before, job {predecessor.job_id}, is told that this one serves")

    # --- In the thread ---

    def _work(self) -> None:
        while True:
            self._tasks.get()()

    def _prepare(self, wish: Wish) -> None:
        self._wish = wish
        if self._job_id is None and self._tries == 0:
            self._submit()
        elif self._is_staged:
            try:
                self._write_wish(wish)
            except SessionError as error:
                self._tell(f"The next session of the row will not follow what was changed here. {error}")

    def _submit(self) -> None:
        job_id = os.environ.get("SLURM_JOB_ID")
        wish = self._wish
        assert wish is not None  # noqa: S101 - _prepare comes first
        self._tries += 1
        try:
            if job_id is None:
                raise SessionError("This session is no job of Slurm's.")
            with self._submitting:
                self._stage(wish)
                overlap = self._overlap_min
                overlap = overlap_minutes(wish.start_s, self._hours) if overlap is None else overlap
                after_minutes = max(0, self._hours * 60 - overlap)
                if self._is_called_off:
                    return
                self._job_id = next_job.submit(self._next_folder, job_id, after_minutes)
        except SessionError as error:
            if self._tries < TRIES:
                self._try_at = time.time() + RETRY_S
            self._tell(f"There is no next session after this one yet. {error}")
            return
        self._due_at = self._started_at + after_minutes * 60
        self._tell(
            f"The next session of the row waits in the queue as job {self._job_id}. It may start "
            f"{overlap} minutes before the end of this one."
        )
        try:
            document = {"job_id": self._job_id, "folder": str(self._next_folder)}
            replace_file(self._folder / NEXT_FILE, json.dumps(document))
        except OSError as error:
            say("chain", f"{self._folder} cannot be written: {error.strerror}")

    def _stage(self, wish: Wish) -> None:
        if not self._is_staged:
            next_job.stage_next(self._folder, self._next_folder)
            self._is_staged = True
        self._write_wish(wish)

    def _write_wish(self, wish: Wish) -> None:
        next_job.write_session(self._folder, self._next_folder, wish.values, self._chain_length - 1)
        me = Predecessor(
            folder=str(self._folder),
            job_id=os.environ.get("SLURM_JOB_ID", ""),
            place=self._place,
            api_key=self._api_key,
            adjustment=dataclasses.asdict(wish.adjustment),
        )
        try:
            me.write(self._next_folder)
        except OSError as error:
            raise SessionError(f"{self._next_folder} cannot be written: {error.strerror}.") from error

    def _tell(self, sentence: str) -> None:
        say("chain", sentence)
        self._news.put(sentence)
        self._notify()


def is_early(
    stop_signal: signal.Signals | None, slurm_reason: str | None, *, is_told: bool, has_successor: bool, left_s: float
) -> bool:
    """
    Say whether a session ends before its time in a way that ends the row: deleted, stopped, idle, failed.

    Not when Slurm ends it for a reason of its own, such as the time limit or a lost node; nor when it fails after the
    next one has taken over. `left_s` is the time to its limit.
    """
    if stop_signal is not None:
        return (slurm_reason is None or slurm_reason in NO_REASON) and left_s > CLOCK_SLACK_S
    return is_told or (not has_successor and left_s > LIMIT_DRAIN_S)


def _follow(handover: Handover, api_key: str, model: str) -> None:
    """Scripts that were given the address of a session before find the new one in the file that they know."""
    try:
        handover.write_endpoint(api_key, model)
    except OSError as error:
        say("chain", f"{handover.endpoint_file} cannot be written: {error.strerror}")


def predecessors_adjustment(predecessor: Predecessor | None) -> Adjustment:
    """Give what the session before needed to serve at all."""
    return Adjustment() if predecessor is None else Adjustment.parse(predecessor.adjustment)

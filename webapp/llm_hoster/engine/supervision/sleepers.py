"""The vLLMs that sleep beside the one that serves: one, and two for the moment of a change from one to the other."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from llm_hoster.engine.job.job_memory import available_bytes
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.run.engine_run import EngineRun
from llm_hoster.engine.run.plan import Plan
from llm_hoster.engine.supervision.journal import Journal
from llm_hoster.engine.vllm.sleep import fall_asleep, wake_up
from llm_hoster.errors import EngineError

# Python, torch and CUDA of the vLLM that comes next, and what its start takes for a while.
RESERVE_BYTES = 8 * 2**30
# The memory that a GPU can be copied to comes in powers of two, a piece for each piece of the weights.
ROUNDED_UP = 2


@dataclass
class Move:
    """One vLLM on its way; a thread waits for it, for the weights of a large model take half a minute."""

    run: EngineRun
    into: Literal["sleep", "service"]
    error: EngineError | None = None
    is_over: bool = False


class Sleepers:
    """Owned by the supervisor's thread."""

    def __init__(self, folders: Folders, journal: Journal, notify: Callable[[], None]) -> None:
        self._folders = folders
        self._journal = journal
        self._notify = notify
        # Each with the folder that has its socket and its temporary files meanwhile: the usual ones are the next one's.
        self._places: dict[EngineRun, Folders] = {}
        self._move: Move | None = None
        self._sleepless: EngineRun | None = None
        self._have_slept: set[EngineRun] = set()
        self._count = 0

    @property
    def runs(self) -> list[EngineRun]:
        return list(self._places)

    @property
    def is_moving(self) -> bool:
        return self._move is not None

    def find(self, plan: Plan) -> EngineRun | None:
        return next((run for run in self._places if run.plan.serves_like(plan)), None)

    def may_take(self, run: EngineRun, after: Plan) -> bool:
        """Whether `run` may lie down for another model."""
        if not run.is_up or run.failure is not None or run is self._sleepless or run in self._places:
            return False
        # Of the same model something else is to change, which sleep would not.
        return run.plan.model.name != after.model.name and run.plan.bytes_asleep() is not None

    def leave_awake(self, run: EngineRun) -> None:
        """It is of no use, and would not lie down."""
        self._sleepless = run

    def has_room_for(self, run: EngineRun) -> bool:
        """Whether the job's memory can take its weights, beside the one that comes next."""
        # What it has once taken for its sleep it keeps while it is awake.
        bytes_more = 0 if run in self._have_slept else (run.plan.bytes_asleep() or 0) * ROUNDED_UP
        return bytes_more + RESERVE_BYTES <= available_bytes(os.environ)

    def lay_down(self, run: EngineRun) -> None:
        """Its socket goes out of the way first, so that no question comes to one that is about to sleep."""
        self._count += 1
        place = replace(self._folders, runtime_dir=self._folders.runtime_dir / f"asleep-{self._count}")
        self._places[run] = place

        def set_aside() -> None:
            place.runtime_dir.mkdir(mode=0o700)
            _rename(self._folders, place)
            self._folders.tmp_dir.mkdir(mode=0o700)

        self._begin(Move(run, "sleep"), set_aside, fall_asleep)

    def wake(self, run: EngineRun) -> None:
        self._begin(Move(run, "service"), lambda: None, wake_up)

    def look(self) -> Move | None:
        """Finish a move that is over, and give it."""
        move = self._move
        if move is None or not move.is_over:
            return None
        self._move = None
        title = move.run.plan.model.title
        try:
            if move.error is not None:
                raise move.error
            if move.into == "service":
                self._bring_back(move.run)
        except (EngineError, OSError) as error:
            move.error = EngineError(str(error))
            self._sleepless = move.run
            word = "did not fall asleep and is ended" if move.into == "sleep" else "did not wake up and is started anew"
            self._journal.note(f"{title} {word}. {error}")
            return move
        if move.into == "sleep":
            self._have_slept.add(move.run)
            self._journal.note(f"{title} sleeps: its weights are in the job's memory.")
        else:
            self._journal.note(f"{title} has woken up after {time.time() - move.run.began_at:.1f} s.")
        return move

    def forget(self, run: EngineRun) -> None:
        """It has ended."""
        self._have_slept.discard(run)
        place = self._places.pop(run, None)
        if place is not None:
            shutil.rmtree(place.runtime_dir, ignore_errors=True)

    def _begin(self, move: Move, prepare: Callable[[], None], ask: Callable[[Path], None]) -> None:
        self._move = move
        socket_path = self._places[move.run].socket_path

        def wait() -> None:
            try:
                ask(socket_path)
            except EngineError as error:
                move.error = error
            finally:
                move.is_over = True
                self._notify()

        try:
            prepare()
            threading.Thread(target=wait, name=f"{move.into} of vLLM", daemon=True).start()
        except (OSError, RuntimeError) as error:  # A full disk, or no thread to be had.
            move.error, move.is_over = EngineError(str(error)), True

    def _bring_back(self, run: EngineRun) -> None:
        shutil.rmtree(self._folders.tmp_dir)
        _rename(self._places[run], self._folders)
        self._places.pop(run).runtime_dir.rmdir()


def _rename(old: Folders, new: Folders) -> None:
    """A socket answers under its new name too, and what a process has open stays open."""
    old.socket_path.rename(new.socket_path)
    old.tmp_dir.rename(new.tmp_dir)

"""One run of the engine: what comes before vLLM, then vLLM, until all of it has ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from llm_hoster.engine.failures.failure import Failure
from llm_hoster.engine.job.ending import end_groups, kill_groups
from llm_hoster.engine.model.prelude import Prelude
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.process.shared_memory import SharedMemory
from llm_hoster.engine.record.state import Remedy, Step
from llm_hoster.engine.run.estimate import Estimate, record_start
from llm_hoster.engine.run.plan import Plan
from llm_hoster.engine.vllm.engine_process import EngineProcess

# vLLM ends within three seconds when it is asked, Ray on other nodes within six.
GRACE_S = 8.0
# Between vLLM's word that it is up and its first answer lie milliseconds.
ABOUT_S = 30.0
# vLLM makes its shared memory while it starts; what only one process had, killed so soon after, stays unknown. Looking
# takes 10 ms.
NOTE_INTERVAL_S = 1.0


class EngineRun:
    """Owned by one thread, which calls everything here; `notify` is called from others when there is news."""

    def __init__(self, plan: Plan, folders: Folders, log: Path, notify: Callable[[], None]) -> None:
        self.plan = plan
        self.failure: Failure | None = None
        self.began_at = time.time()
        self._news_at = time.monotonic()
        self._folders = folders
        self._notify = notify
        self._waiting = list(plan.preludes())
        self._begun: list[Prelude] = []
        titles = [(prelude.name, prelude.title) for prelude in self._waiting if prelude.title]
        self._engine = EngineProcess(plan.command, plan.environment, folders, log, preludes=titles)
        self._is_engine_started = False
        self.is_up = False
        self._shared_memory = SharedMemory(folders.shared_memory_path)
        self._noted_at = 0.0
        key = plan.start_key
        self._estimate = Estimate([]) if key is None else Estimate.read(key, plan.start_folders)

    def start(self) -> None:
        """Begin; what goes wrong is in `failure`."""
        self.began_at = time.time()
        clear_folder(self._folders.tmp_dir)
        self._go_on()

    def begin_again(self) -> None:
        """It has slept, and is being woken."""
        self.began_at = time.time()
        self._news_at = time.monotonic()

    @property
    def children(self) -> list[Child]:
        children = [child for prelude in self._begun for child in prelude.children]
        return [*children, self._engine.child] if self._is_engine_started else children

    @property
    def is_about_to_answer(self) -> bool:
        """vLLM has just said that it is up."""
        return self._engine.says_it_is_up and time.monotonic() - self._news_at < ABOUT_S

    @property
    def silent_s(self) -> float:
        """For how long nothing was heard of the start."""
        return time.monotonic() - self._news_at

    def steps(self) -> tuple[Step, ...]:
        return self._estimate.fill(self._engine.steps())

    def remaining_s(self) -> float | None:
        """Give the seconds until vLLM answers, where earlier starts tell."""
        return self._estimate.remaining_s(self._engine.steps())

    def look(self) -> None:
        """Take over what has happened since the last call."""
        if not self.is_up and time.monotonic() - self._noted_at > NOTE_INTERVAL_S:
            self._noted_at = time.monotonic()
            self._shared_memory.note()
        if self._engine.read_news():
            self._news_at = time.monotonic()
        if self.failure is not None:
            return
        try:
            for prelude in self._begun:
                self._look_at(prelude)
        except OSError as error:
            self._fail(_cannot_start(error))
        if self.failure is None and self._engine.has_ended:
            self._fail(self._engine.failure())
        elif self.failure is None and not self._is_engine_started:
            self._go_on()

    def is_healthy(self) -> bool:
        return self._is_engine_started and self._engine.is_healthy()

    def finish_steps(self) -> None:
        """vLLM answers; the next start will know how long this one took."""
        self._engine.finish_steps()
        self.is_up = True
        self._shared_memory.note()
        if self.plan.start_key is not None:
            record_start(self.plan.start_key, self._engine.steps(), self.plan.start_folders[0])

    def stop(self) -> None:
        """Ask everything to end, then make it; returns when it has, after some seconds at most."""
        self._shared_memory.note()
        end_groups(self.children, grace_s=GRACE_S)

    def abandon(self) -> None:
        """The session ends, and perhaps at once: leave nothing that only an end in order would remove."""
        self._shared_memory.abandon()

    def clear(self) -> None:
        """Remove the shared memory that nobody uses any more; for when all processes have ended."""
        self._shared_memory.clear()

    def kill(self) -> None:
        """End everything at once: parts of a dead vLLM may live on and hold the GPU."""
        self._shared_memory.note()
        kill_groups(self.children)

    def _look_at(self, prelude: Prelude) -> None:
        before = prelude.detail
        prelude.look()
        if prelude.detail != before:
            self._news_at = time.monotonic()
        self._engine.startup.prelude_detail(prelude.name, prelude.detail)
        if prelude.failure is not None and self.failure is None:
            self._fail(prelude.failure)

    def _go_on(self) -> None:
        """Start the next thing that may start by now."""
        try:
            while all(prelude.is_done for prelude in self._begun):
                if not self._waiting:
                    self._engine.start(self._notify)
                    self._is_engine_started = True
                    return
                prelude = self._waiting.pop(0)
                self._begun.append(prelude)
                self._engine.startup.begin_prelude(prelude.name, time.time())
                prelude.start(self._notify)
        except OSError as error:
            self._fail(_cannot_start(error))

    def _fail(self, failure: Failure) -> None:
        remedy = failure.remedy
        if remedy is not None:
            # What an earlier failure asked for is needed still.
            remedy = Remedy(remedy.title, self.plan.adjustment.followed_by(remedy.adjustment))
        self.failure = replace(failure, remedy=remedy)
        self._engine.fail_steps()


def clear_folder(folder: Path) -> None:
    """Remove what a former run has left in it: sockets, mostly."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _cannot_start(error: OSError) -> Failure:
    return Failure(f"vLLM cannot be started: {error.strerror} ({error.filename}). Tell the site's support.", None)

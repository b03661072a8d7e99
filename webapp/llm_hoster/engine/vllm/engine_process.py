"""One run of vLLM: its process, its steps, its health, and the reason when it dies."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from llm_hoster.engine.failures.failure import Failure, explain
from llm_hoster.engine.failures.memory_kills import count_memory_kills
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.record.state import Step
from llm_hoster.engine.vllm.request import get
from llm_hoster.engine.vllm.steps import StartupSteps, is_eager

HEALTH_TIMEOUT_S = 2.0


class EngineProcess:
    """Owned by one thread, which calls everything here; `notify` is called from others when there is news."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folders: Folders,
        log: Path,
        *,
        preludes: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`preludes` are the names and titles of the steps before vLLM's own, which the caller tells `startup` of."""
        self.log = log
        self.has_ended = False
        self._command = command
        self._environment = environment
        self._folders = folders
        self._new_lines: deque[tuple[float, str]] = deque()
        self._was_ready = False
        self._memory_kills: int | None = None
        self._notify: Callable[[], None] = lambda: None
        self.startup = StartupSteps(time.time(), is_eager=is_eager(command), preludes=preludes)
        self.child = Child("vLLM", log=log, on_line=self._take_line, on_end=self._take_end)

    def start(self, notify: Callable[[], None]) -> None:
        """Raise OSError when the engine's program is not there."""
        self._notify = notify
        # A stale socket would make vLLM fail after its imports; it does not remove its own.
        self._folders.socket_path.unlink(missing_ok=True)
        self.startup.begin_vllm(time.time())
        self._memory_kills = count_memory_kills()
        self.child.start(self._command, self._environment, cwd=self._folders.tmp_dir)

    @property
    def says_it_is_up(self) -> bool:
        """vLLM logs this some milliseconds before it answers."""
        return self.startup.startup_complete

    def read_news(self) -> bool:
        """Take over the lines that have come since the last call; say whether there were any."""
        has_news = bool(self._new_lines)
        with contextlib.suppress(IndexError):
            while True:
                at, line = self._new_lines.popleft()
                self.startup.feed(line, at)
        return has_news

    def is_healthy(self) -> bool:
        """Ask vLLM itself; an answer other than 200, or none, is no."""
        if not self._folders.socket_path.exists():
            return False
        try:
            return get(self._folders.socket_path, "/health", HEALTH_TIMEOUT_S)[0] == HTTPStatus.OK
        except OSError:
            return False

    def finish_steps(self) -> None:
        self._was_ready = True
        self.startup.finish(time.time())

    def fail_steps(self) -> None:
        self.startup.fail(time.time())

    def steps(self) -> tuple[Step, ...]:
        return self.startup.steps(time.time())

    def failure(self) -> Failure:
        before, now = self._memory_kills, count_memory_kills()
        return explain(
            list(self.child.lines),
            self.child.return_code,
            was_ready=self._was_ready,
            memory_kills=None if before is None or now is None else now - before,
        )

    def _take_line(self, line: str) -> None:
        self._new_lines.append((time.time(), line))
        self._notify()

    def _take_end(self) -> None:
        self.has_ended = True
        self._notify()

"""The state that the session is in, how it came there, and the file by which the pages know it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from llm_hoster.engine.failures.failure import Failure
from llm_hoster.engine.record.job_log import say
from llm_hoster.engine.record.state import State, StateName, Transition, write_state

KEPT_TRANSITIONS = 20

ALLOWED: dict[StateName, tuple[StateName, ...]] = {
    "starting": ("ready", "restarting", "switching", "failed", "stopping"),
    "ready": ("degraded", "restarting", "switching", "failed", "stopping"),
    "degraded": ("ready", "restarting", "switching", "failed", "stopping"),
    "restarting": ("ready", "restarting", "switching", "failed", "stopping"),
    "switching": ("ready", "restarting", "switching", "failed", "stopping"),
    "failed": ("ready", "restarting", "switching", "stopping"),
    "stopping": ("stopped",),
    "stopped": (),
}


class Journal:
    """Written by the supervisor's thread alone."""

    def __init__(self, path: Path, started_at: float, log: Path) -> None:
        self.state: StateName = "starting"
        self.restarts = 0
        self.written_at = 0.0
        self._path = path
        self._started_at = started_at
        self._since = started_at
        self._log = log
        self._cause: str | None = None
        self._failure: Failure | None = None
        self._transitions: list[Transition] = []

    @property
    def trouble(self) -> str | None:
        """What went wrong, when the state comes of it."""
        return self._failure.cause if self._failure else None

    @property
    def deciding_line(self) -> str | None:
        return self._failure.deciding_line if self._failure else None

    def enter(self, state: StateName, cause: str | None = None, failure: Failure | None = None) -> None:
        """Change the state; `failure` brings its own cause."""
        assert state in ALLOWED[self.state], (self.state, state)  # noqa: S101 - a mistake of the supervisor's
        now = time.time()
        cause = failure.cause if failure else cause
        say("engine", f"{self.state} -> {state} after {now - self._since:.1f} s" + (f": {cause}" if cause else ""))
        if failure and failure.deciding_line:
            lines = failure.deciding_line.replace("\n", " | ")
            say("engine", f"the deciding line: {lines}")
        self._transitions = [*self._transitions, Transition(now, self.state, state, cause)][-KEPT_TRANSITIONS:]
        self.restarts += state == "restarting"
        if state not in ("stopping", "stopped"):
            self._failure = failure  # What ended the engine still explains the end of the session.
        self.state, self._since, self._cause = state, now, cause

    def note(self, sentence: str) -> None:
        """Keep a sentence where people look for what has happened; the state stays."""
        transition = Transition(time.time(), self.state, self.state, sentence, is_note=True)
        self._transitions = [*self._transitions, transition][-KEPT_TRANSITIONS:]

    def write(self, **facts: Any) -> None:
        """Tell the pages; `facts` are the fields of State that the journal does not know."""
        self.written_at = time.time()
        state = State(
            state=self.state,
            since=self._since,
            started_at=self._started_at,
            log=str(self._log),
            cause=self._cause,
            deciding_line=self.deciding_line,
            remedy=self._failure.remedy if self._failure and self.state == "failed" else None,
            restarts=self.restarts,
            transitions=tuple(self._transitions),
            **facts,
        )
        try:
            write_state(self._path, state)
        except OSError as error:
            say("engine", f"{self._path} cannot be written: {error.strerror}")

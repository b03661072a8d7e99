"""A launched session: its record in the user's data folder, and its state."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from portal.jobs import JobInfo
from portal.settings import PortalSettings


@dataclass(frozen=True)
class BatchSession:
    """What OnDemand keeps of a session."""

    id: str
    token: str
    title: str
    created_at: int
    job_id: str = ""
    cluster_id: str = ""
    cache_completed: bool = False


@dataclass(frozen=True)
class SessionStore:
    """The records, one file each, and where each session's files lie."""

    settings: PortalSettings

    @property
    def folder(self) -> Path:
        return self.settings.sessions_root / "db"

    def staged_root(self, session: BatchSession) -> Path:
        return self.settings.sessions_root / session.token / "output" / session.id

    def all(self) -> list[BatchSession]:
        """Return the sessions, the newest first."""
        files = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        sessions = [BatchSession(**json.loads(file.read_text())) for file in files]
        return sorted(sessions, key=lambda session: session.created_at, reverse=True)

    def find(self, session_id: str) -> BatchSession | None:
        return next((session for session in self.all() if session.id == session_id), None)

    def save(self, session: BatchSession) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.folder.parent / f".{session.id}.new"
        new.write_text(json.dumps(asdict(session)))
        new.replace(self.folder / session.id)

    def remove(self, session: BatchSession) -> None:
        (self.folder / session.id).unlink(missing_ok=True)

    def job_info(self, session: BatchSession) -> JobInfo:
        """Ask the batch system; once completed, a session stays so and nobody is asked again."""
        if session.cache_completed:
            return JobInfo("completed")
        info = self.settings.jobs.info(session.job_id)
        if info.state == "completed":
            self.save(BatchSession(**{**asdict(session), "cache_completed": True}))
        return info

    def card_state(self, session: BatchSession, info: JobInfo) -> str:
        """Return the word on the card: a running job is Starting until connection.yml exists."""
        if info.state == "running":
            return "Running" if (self.staged_root(session) / "connection.yml").is_file() else "Starting"
        return info.state.capitalize()

    def for_ruby(self, session: BatchSession, info: JobInfo | None = None) -> dict[str, Any]:
        """Return what render.rb builds its `session` from."""
        found = info or JobInfo("undetermined")
        return {
            **asdict(session),
            "app_root": str(self.settings.app_root),
            "staged_root": str(self.staged_root(session)),
            "job_state": found.state,
            "info": {
                "allocated_nodes": [{"name": name} for name in found.nodes],
                "procs": found.cores,
                "wallclock_time": found.wallclock_time,
                "wallclock_limit": found.wallclock_limit,
            },
        }

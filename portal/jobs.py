"""What the dashboard asks of a batch system: submit, look, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class JobError(Exception):
    """The batch system refused; the message is what it wrote to stderr."""


@dataclass(frozen=True)
class JobRequest:
    """A job as OnDemand hands it to its adapters; `options` is submit.yml's `script` with the attributes' share."""

    content: str
    workdir: Path
    job_name: str
    options: Mapping[str, Any]

    @property
    def wall_time_s(self) -> int:
        return int(self.options.get("wall_time") or 0)

    @property
    def native(self) -> list[str]:
        return [str(item) for item in self.options.get("native") or []]


@dataclass(frozen=True)
class JobInfo:
    """`state` is OnDemand's word: queued, running, completed or undetermined. Times are seconds."""

    state: str
    nodes: tuple[str, ...] = ()
    cores: int = 0
    wallclock_time: int | None = None
    wallclock_limit: int | None = None


class JobAdapter(Protocol):
    """A batch system."""

    def submit(self, request: JobRequest) -> str:
        """Return the job's id; raise JobError with the batch system's own words."""

    def info(self, job_id: str) -> JobInfo:
        """Return the job's state; a job that the batch system forgot is completed."""

    def delete(self, job_id: str) -> None:
        """End the job. Returns at once, as scancel does; a job that has ended is no error."""

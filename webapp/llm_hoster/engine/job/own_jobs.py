"""All jobs that one has in Slurm's queue, by the folder that they work in: asked once for many sessions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath

from llm_hoster.engine.job.slurm import ask

# The folder stands last: its name may hold anything.
FORMAT = "%i|%T|%r|%N|%S|%Z"


@dataclass(frozen=True)
class QueuedJob:
    """`state` and `reason` are Slurm's words, `starts_at` is its estimate for one that waits; empty is unknown."""

    id: str
    state: str
    reason: str
    nodes: str
    starts_at: str

    @property
    def waits(self) -> bool:
        return self.state in ("PENDING", "CONFIGURING")


# By the name of the folder, which is the session's id.
OwnJobs = dict[str, QueuedJob]


def own_jobs() -> OwnJobs | None:
    """Give those that wait or run; None where Slurm does not answer."""
    answer = ask(["squeue", "--noheader", "--user", str(os.getuid()), "--format", FORMAT])
    if answer is None:
        return None
    jobs = {}
    for line in answer.splitlines():
        words = line.split("|", FORMAT.count("|"))
        if len(words) > FORMAT.count("|"):
            job_id, state, reason, nodes, starts_at, folder = (word.strip() for word in words)
            known_start = "" if starts_at in ("N/A", "NONE") else starts_at
            jobs[PurePath(folder).name] = QueuedJob(job_id, state, reason, nodes, known_start)
    return jobs

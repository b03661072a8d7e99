"""What can be learnt of one session: from itself while it runs, from its files else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import requests

from llm_hoster.engine.job.own_jobs import OwnJobs
from llm_hoster.errors import SessionError
from llm_hoster.own_sessions import OwnSession

Condition = Literal["waiting", "beginning", "running", "silent", "ended"]


@dataclass(frozen=True)
class Standing:
    """
    waiting:   no word from its job yet
    beginning: the job runs, and has no address yet
    running:   `report` is what it says of itself (status/report.py)
    silent:    it should run, and does not answer here; `problem` says more
    ended:     `outcome` says why, where anything could
    """

    session: OwnSession
    condition: Condition
    outcome: Mapping[str, Any]
    report: Mapping[str, Any] | None = None
    problem: str | None = None

    @property
    def has_ended(self) -> bool:
        return self.condition == "ended"

    def document(self) -> dict[str, Any]:
        """Give it for --json."""
        return {
            "session_id": self.session.id,
            "folder": str(self.session.folder),
            "condition": self.condition,
            "report": self.report,
            "outcome": self.outcome or None,
            "problem": self.problem,
        }


def standing_of(session: OwnSession, jobs: OwnJobs | None = None) -> Standing:
    """`jobs` are those of Slurm's queue, where they are known: of a session that never began, only they tell."""
    outcome = session.outcome
    if session.has_ended or not (outcome or _may_begin(session, jobs)):
        return Standing(session, "ended", outcome)
    if session.endpoint is None:
        return Standing(session, "beginning" if outcome else "waiting", outcome)
    try:
        return Standing(session, "running", outcome, report=_ask(session))
    except SessionError as error:
        if session.is_silent:
            return Standing(session, "ended", outcome, problem=str(error))
        return Standing(session, "silent", outcome, problem=str(error))


def _may_begin(session: OwnSession, jobs: OwnJobs | None) -> bool:
    """The portal's record of one that was deleted while it waited is gone, and so is a job that was cancelled."""
    if session.is_of_command_line and jobs is not None:
        return session.id in jobs
    return session.is_on_a_card


def _ask(session: OwnSession) -> Mapping[str, Any]:
    answer = session.get("/status.json")
    if answer.status_code != requests.codes.ok:
        raise SessionError(
            f"Session {session.id} answered with status {answer.status_code}. web.log in its folder may say why."
        )
    try:
        report = answer.json()
    except ValueError as error:
        raise SessionError(f"Session {session.id} answered with something that is no status.") from error
    if not isinstance(report, dict) or report.get("session_id") != session.id:
        raise SessionError(f"What answers at the address of session {session.id} is not that session.")
    return report

"""Why the session ended and what it cost, for the card of the portal."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.engine.record.job_log import say

# Written while the session runs, so that the card tells the truth even when everything is killed at once.
UNKNOWN_END = (
    "The session ended without a word: the node or Slurm ended the job at once. "
    "The end of vllm.log and output.log in the session's folder may say more."
)


@dataclass(frozen=True)
class Charge:
    """What the session costs, and from when to when; times are Unix seconds."""

    started_at: float
    ends_at: float
    su_per_hour: float
    su_estimate: float

    def su_used(self, now: float) -> float:
        return round(self.su_per_hour * max(0.0, now - self.started_at) / 3600, 2)


@dataclass(frozen=True)
class Outcome:
    """The content of outcome.json; `ended_at` is None while the session runs."""

    reason: str
    started_at: float
    ended_at: float | None
    su_used: float
    su_estimate: float
    log: str | None
    deciding_line: str | None = None


class OutcomeFile:
    """outcome.json of one session."""

    def __init__(self, path: Path, charge: Charge, log: Path) -> None:
        self._path = path
        self._charge = charge
        self._log = log
        self.written_at = 0.0

    def write(self, reason: str, *, has_ended: bool, deciding_line: str | None = None) -> None:
        """A home folder that is full must not end the session, so that is only said."""
        now = time.time()
        self.written_at = now
        outcome = Outcome(
            reason=reason,
            started_at=self._charge.started_at,
            ended_at=now if has_ended else None,
            su_used=self._charge.su_used(now),
            su_estimate=self._charge.su_estimate,
            log=str(self._log) if self._log.exists() else None,
            deciding_line=deciding_line,
        )
        try:
            replace_file(self._path, json.dumps(dataclasses.asdict(outcome)))
        except OSError as error:
            say("session", f"{self._path} cannot be written: {error.strerror}")

"""Why the session ended and what it cost, for the card of the portal."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.engine.atomic_file import replace_file

# Written while the session runs, so that the card tells the truth even when everything is killed at once.
UNKNOWN_END = (
    "The session ended without a word: the node or Slurm ended the job at once. "
    "The end of vllm.log and output.log in the session's folder may say more."
)


@dataclass(frozen=True)
class Outcome:
    """Times are Unix seconds; `ended_at` is None while the session runs."""

    reason: str
    started_at: float
    ended_at: float | None
    su_used: float
    su_estimate: float
    log: str | None
    deciding_line: str | None = None


def write_outcome(path: Path, outcome: Outcome) -> None:
    replace_file(path, json.dumps(dataclasses.asdict(outcome)))


def su_used(su_per_hour: float, started_at: float, now: float) -> float:
    return round(su_per_hour * max(0.0, now - started_at) / 3600, 2)

"""The session before this one in a row: what it hands on, in a private file of the folder that it has staged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm_hoster.engine.job.slurm import ask_job
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.errors import SessionError

PREDECESSOR_FILE = "predecessor.json"
# A sentence, written when the sessions before have ended by somebody's will, so that this one is not wanted any more.
CALLED_OFF_FILE = "called_off"
PLACE_MAX = 100


@dataclass(frozen=True)
class Predecessor:
    """`place` is its place in the row, from 1; `adjustment` is what it needed to serve, as a dict."""

    folder: str
    job_id: str
    place: int
    api_key: str = field(repr=False)
    adjustment: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        replace_file(folder / PREDECESSOR_FILE, json.dumps(asdict(self)))

    def folders(self) -> list[Path]:
        """Give the folders of all sessions before, the last one first."""
        found: list[Path] = []
        each: Predecessor | None = self
        while each is not None and len(found) < PLACE_MAX:
            found.append(Path(each.folder))
            each = read_predecessor(found[-1])
        return found


def read_predecessor(folder: Path) -> Predecessor | None:
    """Give None where the portal has staged the folder, as it does for every first session."""
    try:
        return Predecessor(**json.loads((folder / PREDECESSOR_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def require_wanted(folder: Path, predecessor: Predecessor) -> None:
    """Raise SessionError with a sentence when the row of sessions was ended before its time."""
    try:
        reason = (folder / CALLED_OFF_FILE).read_text().strip()
    except OSError:
        # It may have been killed before it could say so. A job that Slurm has forgotten ended long ago: then the
        # session's own word counts, and there was none.
        reason = "It was cancelled." if ask_job(predecessor.job_id, "%T") == "CANCELLED" else ""
    if reason:
        raise SessionError(f"The session before this one in the row ended early, so this one is not wanted. {reason}")

"""What a session says of itself while a command waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from llm_hoster.errors import SessionError
from llm_hoster.own_sessions import OwnSession
from llm_hoster.status_command.standing import standing_of
from llm_hoster.status_command.text import clean

# One question without an answer may be a blink of the network.
SILENCES_MAX = 3


def engine_reports(session: OwnSession, *, poll_s: float) -> Iterator[Mapping[str, Any]]:
    """Give the engine's part of its report again and again; raise SessionError when it ends or stays silent."""
    silences = 0
    while True:
        standing = standing_of(session)
        if standing.report is not None:
            silences = 0
            yield standing.report["engine"]
        else:
            silences += 1
            if silences == SILENCES_MAX or standing.condition == "ended":
                reason = standing.problem or standing.outcome.get("reason") or f"Session {session.id} has ended."
                raise SessionError(clean(reason))
        time.sleep(poll_s)

"""The records of all sessions, read from beside the sessions that write them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.client.staged_session import StagedSession
from llm_hoster.errors import UsageError
from llm_hoster.job_database import opened_copy

# A session writes every quarter of a minute that it is there; other nodes may hear of it late.
SILENCE_S = 120.0
# What is asked of a file: its groups are made of these, in this order.
GROUPS = """
    SELECT key_name, model, date(begun_at, 'unixepoch', 'localtime'), count(*), sum(ifnull(status >= 400, :is_over)), 0,
        sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(is_estimated), total(duration_s)
    FROM requests WHERE begun_at >= :since GROUP BY 1, 2, 3
    UNION ALL
    SELECT key_name, '', date(hour_at, 'unixepoch', 'localtime'), 0, 0, sum(requests), 0, 0, 0, 0, 0.0
    FROM refusals WHERE hour_at >= :since GROUP BY 1, 3
"""
TOKENS = "SELECT total(prompt_tokens + completion_tokens) FROM requests"
TOKENS_BY_KEY = "SELECT key_id, sum(prompt_tokens + completion_tokens) FROM requests GROUP BY 1"


@dataclass(frozen=True)
class Group:
    """What one key has asked of one model on one day in one session. `refused` never reached the engine."""

    key: str
    model: str
    day: str
    requests: int
    errors: int
    refused: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated: int
    duration_s: float

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class SessionUsage:
    """One session's. `tokens` are all of it, whatever was asked for; `su_used` is what it cost until now."""

    session_id: str
    model_title: str
    su_used: float
    is_running: bool
    tokens: int
    groups: tuple[Group, ...]


def read_usage(path: Path, since: float) -> SessionUsage:
    """Raise UsageError where the file is none of ours, or cannot be read."""
    with _opened(path) as database:
        (facts,) = database.execute("SELECT * FROM session").fetchall()
        session_id, title, staged_root, started_at, su_per_hour, seen_at = facts
        outcome = StagedSession(Path(staged_root)).outcome
        is_running = outcome.get("ended_at") is None and time.time() - seen_at < SILENCE_S
        # What a session that is over has not settled was cut off with it.
        rows = database.execute(GROUPS, {"since": since, "is_over": not is_running}).fetchall()
        tokens = int(database.execute(TOKENS).fetchone()[0])
    su_used = outcome.get("su_used")
    if not isinstance(su_used, int | float):
        # The card was deleted, and the outcome with it.
        su_used = su_per_hour * max(0.0, seen_at - started_at) / 3600
    return SessionUsage(session_id, title, float(su_used), is_running, tokens, tuple(Group(*row) for row in rows))


def usage_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sqlite3"))


def tokens_by_key(path: Path) -> dict[str, int]:
    """Give the tokens of each key, by its id, in one session; for limits that go over all of them."""
    with _opened(path) as database:
        return {str(key_id): int(tokens) for key_id, tokens in database.execute(TOKENS_BY_KEY)}


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with opened_copy(path) as database:
            yield database
    except (OSError, sqlite3.Error, TypeError, ValueError) as error:
        raise UsageError(f"{path}: not a record of a session's requests, or not whole ({error}).") from error

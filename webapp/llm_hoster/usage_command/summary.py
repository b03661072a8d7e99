"""The usage of all sessions, added up by key, model or day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from llm_hoster.usage.reading import Group, SessionUsage

By = Literal["key", "model", "day"]
# What a request of a refused or unknown kind is listed under.
NONE = "-"


@dataclass
class Row:
    """
    One key, model or day. `refused` are requests that the engine never saw; `errors` those that it did not answer.

    `su` is its part of what the sessions cost, by tokens; `duration_s` is that of all requests together.
    """

    name: str
    requests: int = 0
    errors: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0
    duration_s: float = 0.0
    su: float = 0.0

    def add(self, group: Group, su: float) -> None:
        self.requests += group.requests
        self.errors += group.errors
        self.refused += group.refused
        self.prompt_tokens += group.prompt_tokens
        self.cached_tokens += group.cached_tokens
        self.completion_tokens += group.completion_tokens
        self.estimated += group.estimated
        self.duration_s += group.duration_s
        self.su += su


@dataclass(frozen=True)
class Summary:
    """`su_used` is the cost of all sessions, also of the time in which nobody asked; `running` are not over yet."""

    by: By
    rows: tuple[Row, ...]
    total: Row
    sessions: int
    running: int
    su_used: float


def summarize(usages: Iterable[SessionUsage], by: By) -> Summary:
    """Days come in their order, keys and models with the most tokens first."""
    rows: dict[str, Row] = {}
    total = Row("total")
    sessions = running = 0
    su_used = 0.0
    for usage in usages:
        sessions += 1
        running += usage.is_running
        su_used += usage.su_used
        for group in usage.groups:
            su = usage.su_used * group.tokens / usage.tokens if usage.tokens else 0.0
            name = getattr(group, by) or NONE
            rows.setdefault(name, Row(name)).add(group, su)
            total.add(group, su)
    ordered = sorted(rows.values(), key=lambda row: row.name if by == "day" else _most_tokens_first(row))
    return Summary(by, tuple(ordered), total, sessions, running, su_used)


def _most_tokens_first(row: Row) -> tuple[int, str]:
    return -(row.prompt_tokens + row.completion_tokens), row.name

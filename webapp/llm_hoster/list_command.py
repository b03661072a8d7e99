"""`llm-hoster list`: one line for each session, those that run first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import click

from llm_hoster.engine.job.own_jobs import OwnJobs, QueuedJob, own_jobs
from llm_hoster.own_sessions import model_of, own_sessions
from llm_hoster.status_command.standing import Standing, standing_of
from llm_hoster.status_command.text import clean, seconds_in_words
from llm_hoster.text_table import text_table

# Sessions are asked over the network, and one that does not answer takes some seconds.
THREADS = 8
SHORT_ID_LENGTH = 8
NOTHING = "-"
HEAD = ["SESSION", "JOB", "MODEL", "GPU", "NODE", "STATE", "TIME LEFT", "SU", "ADDRESS"]


@dataclass(frozen=True)
class Row:
    """`state` is the engine's while the session runs, else a word for where the session is. None is not known."""

    session_id: str
    job_id: str | None
    model: str
    gpu: str
    node: str | None
    state: str
    time_left_s: float | None
    su_used: float | None
    address: str | None
    folder: str

    def cells(self, short_id: str) -> list[str]:
        return [
            short_id,
            self.job_id or NOTHING,
            self.model,
            self.gpu,
            self.node or NOTHING,
            self.state,
            NOTHING if self.time_left_s is None else seconds_in_words(self.time_left_s),
            NOTHING if self.su_used is None else f"{self.su_used:,.1f}",
            self.address or NOTHING,
        ]


@click.command(name="list")
@click.option("--running", "without_ended", is_flag=True, help="Without those that have ended.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object for each session.")
def list_sessions(without_ended: bool, as_json: bool) -> None:
    """
    List all your sessions, those that have not ended first, each group newest first.

    llm-hoster status tells more of those that run. Works on the cluster only: on a login node or in a job.
    """
    rows = [row_of(standing, job) for standing, job in _standings() if not (without_ended and standing.has_ended)]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
    elif rows:
        click.echo(_table(rows))
    else:
        click.echo("No session of yours runs." if without_ended else "No session of yours was found.")


def _standings() -> list[tuple[Standing, QueuedJob | None]]:
    sessions, jobs = own_sessions(), own_jobs()
    known: OwnJobs = jobs or {}
    with ThreadPoolExecutor(THREADS, thread_name_prefix="list") as pool:
        standings = list(pool.map(lambda session: standing_of(session, jobs), sessions))
    found = [(standing, known.get(standing.session.id)) for standing in standings]
    return sorted(found, key=lambda each: each[0].has_ended)


def row_of(standing: Standing, job: QueuedJob | None) -> Row:
    context, report = standing.session.context(), standing.report
    row: dict[str, Any] = {
        "model": model_of(context),
        "gpu": f"{context.get('num_gpus', '?')} x {context.get('gpu_type', '?')}",
        "state": standing.condition,
        "time_left_s": None,
        "su_used": standing.outcome.get("su_used"),
        "address": None,
    }
    if job is not None and job.waits:
        row["state"] = f"{standing.condition} ({job.reason})"
    if report is not None:
        row |= _running(report)
    return Row(
        session_id=standing.session.id,
        job_id=job.id if job else None,
        node=(job.nodes if job else "") or _host(row["address"]),
        folder=str(standing.session.folder),
        **row,
    )


def _running(report: Mapping[str, Any]) -> dict[str, Any]:
    """Take what a session of any version says of itself."""
    engine = report.get("engine", {})
    found = {
        "model": engine.get("model", {}).get("name"),
        "state": engine.get("state"),
        "time_left_s": report.get("time_left_s"),
        "su_used": report.get("su_used"),
        "address": report.get("base_url"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _host(address: str | None) -> str | None:
    return None if address is None else address.partition("://")[2].partition(":")[0]


def _table(rows: list[Row]) -> str:
    ids = [row.session_id for row in rows]
    return text_table([HEAD, *([clean(cell) for cell in row.cells(short_id(row.session_id, ids))] for row in rows)])


def short_id(session_id: str, ids: list[str]) -> str:
    """As short as no other begins: that is what a command takes for it."""
    starts = (session_id[:length] for length in range(SHORT_ID_LENGTH, len(session_id)))
    return next((start for start in starts if sum(each.startswith(start) for each in ids) == 1), session_id)

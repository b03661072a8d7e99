"""`llm-hoster stop`: end a session, and say what it has cost."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from llm_hoster.engine.chain.predecessor import CALLED_OFF_FILE
from llm_hoster.engine.job.own_jobs import QueuedJob, own_jobs
from llm_hoster.engine.job.slurm import cancel_job
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.errors import SessionError
from llm_hoster.own_sessions import OwnSession, find_session, model_of
from llm_hoster.session_argument import session_argument
from llm_hoster.status_command.standing import Standing, standing_of
from llm_hoster.status_command.text import clean
from llm_hoster.switch_command import give_order

# vLLM is given some seconds to end, and the last word some more to come through a network file system.
END_TIMEOUT_S = 60.0
POLL_S = 0.5
CALLED_OFF = "It was ended by llm-hoster stop before its job had begun."


@click.command()
@session_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def stop(session: str | None, yes: bool, as_json: bool) -> None:
    """
    End a session of yours and its charge, as the button on its page does; one that waits leaves the queue.

    SESSION is its folder, its id, or the beginning of its id; it may be left out where only one runs. The sessions that
    would follow it in a row end too.
    """
    found = find_session(session)
    jobs = own_jobs()
    standing = standing_of(found, jobs)
    if standing.has_ended:
        raise SessionError(f"Session {found.id} has ended already.")
    job = (jobs or {}).get(found.id)
    if not yes:
        click.confirm(f"End session {clean(_name(found, job))}?", abort=True, err=as_json)
    _end(standing, job)
    has_ended = _wait_for_end(found)
    outcome = found.outcome
    document = {
        "session_id": found.id,
        "job_id": job.id if job else None,
        "has_ended": has_ended,
        "su_used": outcome.get("su_used", 0.0),
        "reason": outcome.get("reason"),
    }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False) if as_json else _text(document))


def _name(session: OwnSession, job: QueuedJob | None) -> str:
    context = session.context()
    return f"{session.id} ({model_of(context)} on {context.get('num_gpus')} x {context.get('gpu_type')}" + (
        f", job {job.id})" if job else ")"
    )


def _end(standing: Standing, job: QueuedJob | None) -> None:
    """Ask the session itself, which ends its row and says why; else Slurm. Raise SessionError where neither can."""
    session = standing.session
    refusal = standing.problem or f"Session {session.id} has no pages yet."
    if standing.condition == "running":
        try:
            give_order(session, "/engine/stop", {})
            return
        except SessionError as error:
            refusal = str(error)
    if job is None:
        raise SessionError(f"{refusal} Slurm does not name its job either, so it cannot be ended from here.")
    if not cancel_job(job.id):
        raise SessionError(f"Slurm has not taken the order to cancel job {job.id}. Try: scancel {job.id}")
    if not session.outcome:
        # One that never ran cannot say so itself.
        replace_file(session.folder / CALLED_OFF_FILE, CALLED_OFF)


def _wait_for_end(session: OwnSession) -> bool:
    deadline = time.monotonic() + END_TIMEOUT_S
    while not session.has_ended:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _text(document: dict[str, Any]) -> str:
    used = f"{document['su_used']:,.2f} SU"
    if not document["has_ended"]:
        return f"Session {document['session_id']} is ending. It has used {used} so far."
    reason = f" {clean(document['reason'])}" if document["reason"] else ""
    return f"Session {document['session_id']} has ended and has used {used}.{reason}"

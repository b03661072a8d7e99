"""The command `llm-hoster status`."""

from __future__ import annotations

import json

import click

from llm_hoster.engine.job.own_jobs import own_jobs
from llm_hoster.own_sessions import find_session, own_sessions
from llm_hoster.session_argument import session_argument
from llm_hoster.status_command.standing import standing_of
from llm_hoster.status_command.text import standing_text


@click.command()
@session_argument
@click.option("--all", "with_ended", is_flag=True, help="Ended sessions too, as long as their folders are there.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object for each session.")
def status(session: str | None, with_ended: bool, as_json: bool) -> None:
    """
    Say what your sessions do, or one of them: SESSION is its folder, its id, or the beginning of its id.

    Works on the cluster only: on a login node or in a job.
    """
    sessions = own_sessions() if session is None else [find_session(session)]
    # Of the others the portal's records tell, and Slurm may be slow.
    jobs = own_jobs() if any(each.is_of_command_line for each in sessions) else None
    standings = [standing_of(each, jobs) for each in sessions]
    if session is None and not with_ended:
        standings = [each for each in standings if not each.has_ended]
    if as_json:
        click.echo(json.dumps([standing.document() for standing in standings], indent=2))
        return
    click.echo("\n\n".join(map(standing_text, standings)) or _none(with_ended))


def _none(with_ended: bool) -> str:
    return "No session of yours was found." if with_ended else "No session of yours runs. --all shows ended ones."

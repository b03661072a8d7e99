"""The command `llm-hoster status`."""

from __future__ import annotations

import json

import click

from llm_hoster.own_sessions import find_session, own_sessions
from llm_hoster.status_command.standing import standing_of
from llm_hoster.status_command.text import standing_text


@click.command()
@click.argument("session", required=False)
@click.option("--all", "with_ended", is_flag=True, help="Ended sessions too, as long as their folders are there.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object for each session.")
def status(session: str | None, with_ended: bool, as_json: bool) -> None:
    """
    Say what your sessions do, or one of them: SESSION is its folder, its id, or the beginning of its id.

    Works on the cluster only: on a login node or in a job.
    """
    if session is not None:
        standings = [standing_of(find_session(session))]
    else:
        standings = [standing_of(each) for each in own_sessions()]
        if not with_ended:
            standings = [each for each in standings if each.condition != "ended"]
    if as_json:
        click.echo(json.dumps([standing.document() for standing in standings], indent=2))
        return
    click.echo("\n\n".join(map(standing_text, standings)) or _none(with_ended))


def _none(with_ended: bool) -> str:
    return "No session of yours was found." if with_ended else "No session of yours runs. --all shows ended ones."

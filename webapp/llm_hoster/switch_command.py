"""`llm-hoster switch`: another model in a session that runs, from anywhere on the cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import click
import requests

from llm_hoster.catalogue.app_names import MODEL
from llm_hoster.engine.record.state import COMING, SERVING
from llm_hoster.errors import SessionError
from llm_hoster.own_sessions import OwnSession, find_session
from llm_hoster.session_argument import session_argument
from llm_hoster.status_command.following import engine_reports
from llm_hoster.status_command.start_line import StartLine
from llm_hoster.status_command.text import clean, seconds_in_words

POLL_S = 2.0


@click.command()
@click.argument("model", type=MODEL)
@session_argument
@click.option("--quantization", help="As in the form; without it, the launched one where the model fits with it.")
@click.option("--preset", help="As in the form; without it, the launched one where the model fits with it.")
@click.option("--context-length", help="Tokens of one conversation, or auto.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def switch(
    model: str,
    session: str | None,
    quantization: str | None,
    preset: str | None,
    context_length: str | None,
    as_json: bool,
) -> None:
    """
    Serve MODEL, a name of the catalogue, in a session of yours, and wait until it is ready.

    SESSION is its folder, its id, or the beginning of its id; it may be left out where only one runs.
    """
    found = find_session(session)
    options = {"quantization": quantization, "preset": preset, "context_length": context_length}
    began_at = time.monotonic()
    chosen = {name: value for name, value in options.items() if value is not None}
    give_order(found, "/engine/switch", {"model": model} | chosen)
    title = wait_until_ready(found, model)
    took_s = time.monotonic() - began_at
    if as_json:
        document = {"session_id": found.id, "model": model, "title": title, "seconds": round(took_s, 1)}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{title} is ready after {seconds_in_words(took_s)}.")


def give_order(session: OwnSession, path: str, form: Mapping[str, str]) -> None:
    """Send a form as the session's page does; raise SessionError with the session's own sentence when it refuses."""
    answer = session.post(path, form)
    if answer.status_code == requests.codes.ok:
        return
    try:
        message = clean(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"Session {session.id} answered with status {answer.status_code}; web.log in its folder may say why."
    raise SessionError(message)


def wait_until_ready(session: OwnSession, name: str, *, poll_s: float = POLL_S) -> str:
    """Tell each step once; give the model's title, or raise SessionError when it does not come up."""
    with StartLine() as line:
        for engine in engine_reports(session, poll_s=poll_s):
            line.show(engine)
            if engine["state"] in SERVING and engine["model"]["name"] == name:
                return clean(engine["model"]["title"])
            if engine["state"] not in COMING:
                raise SessionError(clean(_why_not(engine, name)))
    raise AssertionError("reports come until one is the last or none is given")


def _why_not(engine: Mapping[str, Any], name: str) -> str:
    """Explain a failure, or why the former model runs again."""
    if engine["state"] in SERVING:
        changes = [each for each in engine["transitions"] if not each["is_note"]]
        causes = [each["cause"] for each in changes if each["after"] == "switching" and each["cause"]]
        return causes[-1] if causes else f"{engine['model']['name']} is served, and not {name}."
    return engine["cause"] or f"The engine is {engine['state']}."

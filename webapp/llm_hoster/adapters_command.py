"""`llm-hoster adapters`: new LoRA adapters in a session that runs, from anywhere on the cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from llm_hoster.own_sessions import find_session
from llm_hoster.session_argument import session_argument
from llm_hoster.status_command.following import engine_reports
from llm_hoster.status_command.text import clean
from llm_hoster.switch_command import give_order

POLL_S = 0.5


@click.command()
@session_argument
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def adapters(session: str | None, as_json: bool) -> None:
    """
    Look into the LoRA folder of a session of yours again, and serve what is in it now.

    New adapters are loaded, changed ones loaded anew, and what has gone is taken away; the engine goes on meanwhile.
    SESSION is its folder, its id, or the beginning of its id; it may be left out where only one runs.

    The exit status is 1 when an adapter of the folder could not be served as it is there.
    """
    found = find_session(session)
    give_order(found, "/engine/adapters", {})
    engine = next(each for each in engine_reports(found, poll_s=POLL_S) if _has_looked(each))
    look = engine["adapter_look"]
    if as_json:
        names = {"session_id": found.id, "adapters": engine["adapters"]}
        click.echo(json.dumps(names | {"sentence": look["sentence"], "is_whole": look["is_whole"]}, indent=2))
    else:
        click.echo(clean(look["sentence"]), err=not look["is_whole"])
        click.echo(clean(f"Adapters: {', '.join(engine['adapters'] or []) or 'none'}"))
    sys.exit(0 if look["is_whole"] else 1)


def _has_looked(engine: Mapping[str, Any]) -> bool:
    look = engine["adapter_look"]
    return look is not None and look["ended_at"] is not None

"""`llm-hoster keys`: keys of the endpoint for colleagues and scripts, from anywhere on the cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import click

from llm_hoster.api_keys.api_key import PRIORITIES, ApiKey, Limits
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.api_keys.new_key import new_key
from llm_hoster.errors import SessionError
from llm_hoster.own_data_dir import data_dir_option, own_data_dir
from llm_hoster.own_sessions import own_sessions

NUMBER = click.IntRange(min=1)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON.")


@click.group()
def keys() -> None:
    """Give keys to colleagues and scripts. They open your sessions, now and later, until you take them back."""


@keys.command()
@click.argument("name")
@click.option("--days", type=NUMBER, help="Valid for so long. Without it, until revoked.")
@click.option("--requests-per-min", type=NUMBER, help="Requests each minute.")
@click.option("--tokens-per-min", type=NUMBER, help="Tokens each minute, of prompts and replies.")
@click.option("--concurrent", type=NUMBER, help="Requests at the same time.")
@click.option("--total-tokens", type=NUMBER, help="Tokens in all, of prompts and replies, over all sessions.")
@click.option("--model", "models", multiple=True, help="Only this model; may be given again. Without it, any.")
@click.option("--priority", type=click.Choice(list(PRIORITIES)), default="normal", show_default=True)
@data_dir_option
@json_option
def create(
    name: str,
    days: int | None,
    models: tuple[str, ...],
    priority: str,
    data_dir: Path | None,
    as_json: bool,
    **limits: int | None,
) -> None:
    """
    Make a key for NAME: a person, a project or a script.

    The key is printed once, and kept nowhere. It opens /v1 and a chat of its own, but none of your pages.
    """
    key = new_key(name, days=days, limits=Limits(**limits), models=models, priority=priority)
    secret = KeyFolder(own_data_dir(data_dir)).create(key)
    _tell_sessions()
    if as_json:
        click.echo(json.dumps(_document(key) | {"key": secret}, indent=2))
        return
    click.echo(f"The key of {key.name}, shown this once:", err=True)
    click.echo(secret)


@keys.command("list")
@click.option("--all", "with_invalid", is_flag=True, help="Revoked and expired ones too.")
@data_dir_option
@json_option
def list_keys(with_invalid: bool, data_dir: Path | None, as_json: bool) -> None:
    """List the keys, the newest first, with what they may do. The keys themselves are kept nowhere."""
    now = time.time()
    found = [key for key in KeyFolder(own_data_dir(data_dir)).read() if with_invalid or key.is_valid(now)]
    if as_json:
        click.echo(json.dumps([_document(key) for key in found], indent=2))
        return
    for key in found:
        click.echo(f"{key.id}  {key.name}: {', '.join(key.in_words(now))}")
    if not found:
        click.echo("There is no key. `llm-hoster keys create NAME` makes one.", err=True)


@keys.command()
@click.argument("key")
@data_dir_option
@json_option
def revoke(key: str, data_dir: Path | None, as_json: bool) -> None:
    """Take KEY back, by its name or id: your running sessions know at once."""
    revoked = KeyFolder(own_data_dir(data_dir)).revoke(key)
    _tell_sessions()
    if as_json:
        click.echo(json.dumps(_document(revoked), indent=2))
    else:
        click.echo(f"{revoked.id} ({revoked.name}) opens nothing any more.")


def _tell_sessions() -> None:
    """Those that cannot be reached look for themselves, several times a minute."""
    for session in own_sessions():
        with contextlib.suppress(SessionError):
            if session.is_running:
                session.post("/keys/reload", {})


def _document(key: ApiKey) -> dict[str, Any]:
    values = dataclasses.asdict(key)
    del values["digest"]
    return values

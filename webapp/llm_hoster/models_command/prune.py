"""`llm-hoster models prune`: what lies in a cache, and away with what nobody needs any more."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

import click

from llm_hoster.errors import ConfigError, HubError
from llm_hoster.hub_cache import locks_of
from llm_hoster.lease import Lease
from llm_hoster.models_command.cached_model import CachedModel, models_in
from llm_hoster.models_command.model_cache import CacheOptions, ModelCache, cache_options
from llm_hoster.models_command.model_download import LOCK
from llm_hoster.models_command.paths import json_option
from llm_hoster.models_command.progress import gib

DAY_S = 24 * 3600


@click.command()
@click.argument("names", metavar="[MODEL]...", nargs=-1)
@click.option("--older", "days", type=click.IntRange(min=0), help="What was not used for so many days.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@cache_options
def prune(
    names: tuple[str, ...],
    days: int | None,
    yes: bool,
    as_json: bool,
    cache: Path | None,
    is_shared: bool,
    site_path: Path | None,
    models_path: Path | None,
) -> None:
    """List the models of the cache, and remove each MODEL, or those that were not used for --older DAYS.

    Asks first, and leaves alone what is being fetched and what a session or another process uses.
    """
    models = ModelCache(CacheOptions(cache, is_shared, site_path, models_path))
    cached = models_in(models.folder)
    wanted = [models.find(name).model for name in names]
    missing = [name for name in wanted if name not in [each.model for each in cached]]
    if missing:
        raise ConfigError(f"{missing[0]} is not in {models.folder}.")
    if not names and days is None:
        _list(cached, models.folder, as_json=as_json)
        return
    documents = []
    for each in [each for each in cached if each.model in wanted or _is_old(each, days)]:
        document = _document(each)
        if yes or click.confirm(f"{_line(each)}. Remove it?", default=False, err=as_json):
            kept = _remove(each, models.folder)
            text = f"removed, {gib(document['bytes'])}" if kept is None else f"stays, {kept}"
            click.echo(f"{each.model}: {text}", err=as_json)
            documents.append(document | {"is_removed": kept is None, "user": kept})
    if as_json:
        click.echo(json.dumps(documents))


def _is_old(cached: CachedModel, days: int | None) -> bool:
    return days is not None and time.time() - cached.last_used() >= days * DAY_S


def _document(cached: CachedModel) -> dict[str, Any]:
    return {
        "model": cached.model,
        "bytes": cached.size(),
        "last_used_at": cached.last_used(),
        "user": cached.user(),
    }


def _list(cached: list[CachedModel], folder: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_document(each) for each in cached]))
        return
    for each in cached:
        click.echo(_line(each))
    size = sum(each.size() for each in cached)
    click.echo(f"{folder}: {len(cached)} models, {gib(size)}, {gib(shutil.disk_usage(_existing(folder)).free)} free")


def _line(cached: CachedModel) -> str:
    used = time.strftime("%Y-%m-%d", time.localtime(cached.last_used()))
    user = cached.user()
    return f"{cached.model}: {gib(cached.size())}, last used {used}" + (f", {user}" if user else "")


def _remove(cached: CachedModel, cache: Path) -> str | None:
    """
    Remove it, and give None; where it stays, say what keeps it.

    Under the lock of downloads, and out of sight first: nobody sees half a model.
    """
    lease = Lease(locks_of(cached.model, cache) / LOCK)
    try:
        lease.path.parent.mkdir(parents=True, exist_ok=True)
        user = cached.user()
        if user is None and not lease.take():
            # Its owner is dead, as user() has found; the next to take it over may be somebody else.
            lease.path.unlink(missing_ok=True)
            user = None if lease.take() else "it is being fetched"
        if user is not None:
            return user
        try:
            aside = cache / f".removed-{uuid.uuid4().hex}"
            os.rename(cached.folder, aside)
            shutil.rmtree(aside)
        finally:
            lease.release()
    except OSError as error:
        raise HubError(f"{cached.model} cannot be removed from {cache} ({error.strerror}).") from error
    return None


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)

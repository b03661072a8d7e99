"""`llm-hoster models verify`: whether the files of a cache are still what the hub gave."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from llm_hoster.errors import HubError
from llm_hoster.hub import Hub
from llm_hoster.hub_cache import find_model
from llm_hoster.models_command.cached_model import CachedFile, CachedModel, models_in
from llm_hoster.models_command.model_cache import CacheOptions, ModelCache, NamedModel, cache_options, environment_for
from llm_hoster.models_command.model_download import ModelDownload
from llm_hoster.models_command.paths import json_option
from llm_hoster.models_command.progress import Progress
from llm_hoster.models_command.pull import Lines

READERS = 4


@click.command()
@click.argument("names", metavar="[MODEL]...", nargs=-1)
@click.option("--repair", is_flag=True, help="Throw damaged files away and fetch them again.")
@json_option
@cache_options
def verify(
    names: tuple[str, ...],
    repair: bool,
    as_json: bool,
    cache: Path | None,
    is_shared: bool,
    site_path: Path | None,
    models_path: Path | None,
) -> None:
    """Read every file of each MODEL in the cache, or of all, and compare it with the hub's own hash of it.

    Needs no way to the hub: the cache calls each file by its hash. Exits 1 when something is damaged.
    """
    models = ModelCache(CacheOptions(cache, is_shared, site_path, models_path))
    named = [models.find(name) for name in names] or [NamedModel(each.model) for each in models_in(models.folder)]
    documents = []
    for each in named:
        damaged = _examine(each, models.folder, Lines(each.model, err=as_json))
        if damaged is not None and repair:
            _fetch_again(each, models.folder, damaged, Lines(each.model, err=as_json))
        documents.append(
            {
                "model": each.model,
                "is_right": repair or damaged is None,
                "was_repaired": repair and damaged is not None,
                "damaged": [{"name": file.name, "path": str(file.blob)} for file in damaged or []],
            }
        )
    if as_json:
        click.echo(json.dumps(documents, ensure_ascii=False))
    if not all(document["is_right"] for document in documents):
        click.echo("Damaged files are fetched again by the same command with --repair.", err=as_json)
        sys.exit(1)


def _examine(named: NamedModel, cache: Path, lines: Lines) -> list[CachedFile] | None:
    """Say what is wrong with a model and give its damaged files, which may be none; None when all is right."""
    files = CachedModel(named.model, cache).files()
    damaged = _damaged(files, lines.say)
    for file, reason in damaged:
        lines.end(f"{file.name} is {reason}: {file.blob}")
    if damaged:
        return [file for file, _ in damaged]
    if find_model(named.model, [cache], is_mistral=named.is_mistral) is None:
        lines.end("is not complete, config.json or files with weights are missing")
        return []
    unknown = sum(each.digest is None for each in files)
    lines.end(f"right, {len(files) - unknown} files" + (f"; {unknown} have no hash to compare" if unknown else ""))
    return None


def _damaged(files: list[CachedFile], say: Callable[[str], None]) -> list[tuple[CachedFile, str]]:
    cancelled = threading.Event()
    progress = Progress(sum(each.blob.stat().st_size for each in files if each.blob.is_file()), say)

    def judge(file: CachedFile) -> str:
        if not file.blob.is_file():
            return "missing"
        if file.digest is None:
            return ""
        try:
            return "" if file.digest.is_of(file.blob, progress.add, cancelled) else "damaged"
        except OSError as error:
            return f"unreadable ({error.strerror})"

    with ThreadPoolExecutor(READERS, thread_name_prefix="verify") as pool:
        try:
            verdicts = list(pool.map(judge, files))
        except BaseException:  # Ctrl+C
            cancelled.set()
            raise
    return [(file, verdict) for file, verdict in zip(files, verdicts, strict=True) if verdict]


def _fetch_again(named: NamedModel, cache: Path, damaged: list[CachedFile], lines: Lines) -> None:
    user = CachedModel(named.model, cache).user()
    if user is not None:
        raise HubError(f"{named.model}: {user}, so its files stay as they are. Try again when it has ended.")
    for file in damaged:
        file.blob.unlink(missing_ok=True)
    hub = Hub.from_environment(environment_for(cache))
    listing = ModelDownload(named.model, hub, lines.say, is_mistral=named.is_mistral).run()
    lines.end(f"right again, version {listing.commit[:12]}")

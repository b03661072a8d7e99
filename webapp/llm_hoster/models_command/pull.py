"""`llm-hoster models pull`: the files of a model into the cache, as the session itself does where they are missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from llm_hoster.hub import Hub
from llm_hoster.hub_cache import find_model
from llm_hoster.models_command.model_cache import CacheOptions, ModelCache, cache_options, environment_for
from llm_hoster.models_command.model_download import ModelDownload
from llm_hoster.models_command.paths import json_option


@click.command()
@click.argument("names", metavar="MODEL...", nargs=-1, required=True)
@click.option("--mistral", "is_mistral", is_flag=True, help="The weights in Mistral's own layout (consolidated*).")
@json_option
@cache_options
def pull(
    names: tuple[str, ...],
    is_mistral: bool,
    as_json: bool,
    cache: Path | None,
    is_shared: bool,
    site_path: Path | None,
    models_path: Path | None,
) -> None:
    """Fetch each MODEL, a Hugging Face id or a name of models.yml, unless it is in the cache.

    Every file is checked against the hub's own hash. What was cut goes on where it ended. The token for models that ask
    first is that of HF_TOKEN or of `hf auth login`.
    """
    models = ModelCache(CacheOptions(cache, is_shared, site_path, models_path))
    hub = Hub.from_environment(environment_for(models.folder))
    pulled = []
    for named in [models.find(name) for name in names]:
        lines = Lines(named.model, err=as_json)
        document = {"model": named.model, "cache": str(models.folder), "version": None, "licence": None}
        pulled.append(document)
        layout = is_mistral or named.is_mistral
        if hub.is_offline and find_model(named.model, [models.folder], is_mistral=layout):
            lines.end(f"in {models.folder}; offline nobody knows whether the hub has a newer version")
            continue
        download = ModelDownload(named.model, hub, lines.say, is_mistral=layout)
        listing = download.run()
        lines.end(f"in {models.folder}, version {listing.commit[:12]}, licence: {listing.licence}")
        document |= {"version": listing.commit, "licence": listing.licence}
    if as_json:
        click.echo(json.dumps(pulled, ensure_ascii=False))


class Lines:
    """Lines that begin with the model; at a terminal each takes the place of the one before."""

    def __init__(self, model: str, *, err: bool = False) -> None:
        self._model = model
        self._err = err
        self._stream = sys.stderr if err else sys.stdout
        self._is_terminal = self._stream.isatty()

    def say(self, text: str) -> None:
        # What remains of a longer line before is overwritten.
        click.echo(
            f"\r{self._model}: {text:<60}" if self._is_terminal else f"{self._model}: {text}",
            nl=not self._is_terminal,
            err=self._err,
        )
        self._stream.flush()

    def end(self, text: str) -> None:
        self.say(text)
        if self._is_terminal:
            click.echo(err=self._err)

"""Which cache a command works on, and how to name a model in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from llm_hoster.catalogue.arguments import value_of
from llm_hoster.catalogue.choice import HUGGING_FACE_ID
from llm_hoster.catalogue.model_list import load_models
from llm_hoster.catalogue.models import ModelEntry
from llm_hoster.catalogue.sentences import shown
from llm_hoster.engine.vllm.command import CACHE_FOLDERS
from llm_hoster.errors import ConfigError
from llm_hoster.hub_cache import cache_of
from llm_hoster.models_command.paths import Paths, find_paths, site_options
from llm_hoster.session import expand_path

F = TypeVar("F", bound=Callable[..., None])
LOAD_FORMAT = "--load-format"


@dataclass(frozen=True)
class CacheOptions:
    """`cache` is a folder as HF_HUB_CACHE names one: with models--OWNER--NAME in it."""

    cache: Path | None
    is_shared: bool
    site_path: Path | None
    models_path: Path | None


@dataclass(frozen=True)
class NamedModel:
    """`is_mistral`: its entry of models.yml asks for the weights in Mistral's own layout."""

    model: str
    is_mistral: bool = False


def cache_options(command: F) -> F:
    cache = click.option(
        "--cache", type=click.Path(path_type=Path), help="A folder as HF_HUB_CACHE names one. Default: your own."
    )
    shared = click.option(
        "--shared", "is_shared", is_flag=True, help="The cache for everybody, shared_models of site.yml."
    )
    return cache(shared(site_options(command)))


class ModelCache:
    """The site's files are read only where the options do not say all."""

    def __init__(self, options: CacheOptions) -> None:
        self._options = options
        self._paths: Paths | None = None
        self.folder = self._find_folder()

    def _site(self) -> Paths:
        if self._paths is None:
            self._paths = find_paths(self._options.site_path, self._options.models_path)
        return self._paths

    def _find_folder(self) -> Path:
        options = self._options
        if options.cache is not None:
            if options.is_shared:
                raise ConfigError("--cache and --shared name two caches: give one of them.")
            return options.cache.absolute()
        paths = self._site()
        if options.is_shared:
            if paths.site.shared_models is None:
                raise ConfigError(f"{paths.site_path}: has no shared_models, the folder of the cache for everybody.")
            return self._absolute(paths.site.shared_models)
        home = self._absolute(paths.site.cache_dir) / CACHE_FOLDERS["HF_HOME"]
        return cache_of({"HF_HOME": str(home)})

    def _absolute(self, path: str) -> Path:
        folder = expand_path(path)
        return folder if folder.is_absolute() else self._site().site_path.absolute().parent / folder

    def find(self, name: str) -> NamedModel:
        """Take a Hugging Face id as it is, and look a name up in models.yml; raise ConfigError for what is neither."""
        if HUGGING_FACE_ID.fullmatch(name):
            entry = None if self._options.cache else self._entry(lambda each: each.source == name)
        else:
            entry = self._entry(lambda each: each.name == name)
            if entry is None:
                raise ConfigError(f"{shown(name)} is neither a Hugging Face id (owner/name) nor a name of models.yml.")
            if not HUGGING_FACE_ID.fullmatch(entry.source):
                raise ConfigError(f"{name}: is the folder {entry.source}, so there is nothing to fetch or to check.")
        if entry is None:
            return NamedModel(name)
        return NamedModel(entry.source, value_of(LOAD_FORMAT, entry.args) == "mistral")

    def _entry(self, is_it: Callable[[ModelEntry], bool]) -> ModelEntry | None:
        paths = self._site()
        models = load_models(paths.site, paths.site_path, paths.models_path)
        return next((each for each in models if is_it(each)), None)


def environment_for(folder: Path) -> dict[str, str]:
    """Our own environment, with its login and its mirror, and this cache."""
    return {**os.environ, "HF_HUB_CACHE": str(folder)}

"""Kinds of arguments whose values the app's catalogue.json names: a shell completes them, the command checks them."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from llm_hoster.catalogue.app_dir import find_own_app_dir
from llm_hoster.errors import ConfigError


class CatalogueName(StringParamType):
    """Any text passes: what is offered is said in the catalogue's own sentences. `part` is a list of catalogue.json."""

    def __init__(self, name: str, part: str) -> None:
        self.name = name
        self._part = part

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]

    def _names(self) -> Iterable[str]:
        """Nothing where there is no catalogue: a shell that completes has no place for an error."""
        try:
            document = json.loads((find_own_app_dir() / "catalogue.json").read_bytes())
            return [str(each["name"]) for each in document[self._part]]
        except (ConfigError, OSError, ValueError, KeyError, TypeError):
            return []


MODEL = CatalogueName("model", "models")
GPU_TYPE = CatalogueName("gpu_type", "gpu_types")
QUANTIZATION = CatalogueName("quantization", "quantizations")
PRESET = CatalogueName("preset", "presets")

"""A model as its publisher describes it: everything that its entry is written from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.configuration import CONFIG, CONFIG_BYTES_MAX
from llm_hoster.models_command.model_files import ModelFiles, Origin, WeightsSize
from llm_hoster.models_command.readme_head import HEAD_BYTES_MAX, README, ReadmeHead, read_head

TOKENIZER_CONFIG = "tokenizer_config.json"
# Mistral's own layout of a model, which lies beside the usual one; its tokenizer brings the chat template along.
MISTRAL_CONFIG = "params.json"
# The template as files of their own; older models keep it in tokenizer_config.json.
TEMPLATES = ("chat_template.jinja", "chat_template.json")
# Templates and lists of added tokens make these files large; this is ten times the largest known.
TOKENIZER_BYTES_MAX = 16 * 2**20


@dataclass(frozen=True)
class Publication:
    source: str
    config: Mapping[str, Any]
    read_from: Origin
    weights: WeightsSize | None
    head: ReadmeHead
    is_gated: bool
    has_chat_template: bool
    has_mistral_layout: bool
    tokenizer_config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The last part of its id or folder, in small letters: publishers say there what a model is for."""
        return PurePosixPath(cached_id(self.source)).name.lower()

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type") or "")

    @property
    def architectures(self) -> list[str]:
        names = self.config.get("architectures")
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def read_publication(source: str, files: ModelFiles) -> Publication:
    """Read what is needed, config.json first; raise ArchitectureError with a sentence when it cannot be had."""
    config = _read_json(files, CONFIG, CONFIG_BYTES_MAX)
    if config is None:
        raise ArchitectureError(f"{source}: has no {CONFIG}: expected a model in the layout of transformers.")
    read_from = files.origin(CONFIG)
    tokenizer_config = _read_json(files, TOKENIZER_CONFIG, TOKENIZER_BYTES_MAX) or {}
    has_mistral_layout = files.read(MISTRAL_CONFIG, 1) is not None
    has_template = bool(tokenizer_config.get("chat_template")) or has_mistral_layout
    head = read_head(files.read(README, HEAD_BYTES_MAX) or b"")
    return Publication(
        source=source,
        config=config,
        read_from=read_from,
        weights=files.weights_size(),
        head=head,
        is_gated=files.is_gated or head.is_gated,
        has_chat_template=has_template or any(files.read(name, 1) is not None for name in TEMPLATES),
        has_mistral_layout=has_mistral_layout,
        tokenizer_config=tokenizer_config,
    )


def cached_id(source: str) -> str:
    """A folder of the Hugging Face cache is called by its commit: give the id that it was made from."""
    cached = re.search(r"/models--([^/]+?)--([^/]+)/snapshots/[^/]+$", source)
    return f"{cached.group(1)}/{cached.group(2)}" if cached else source


def _read_json(files: ModelFiles, name: str, bytes_max: int) -> dict[str, Any] | None:
    content = files.read(name, bytes_max + 1)
    if content is None:
        return None
    where = " ".join(files.origin(name).values())
    if len(content) > bytes_max:
        raise ArchitectureError(f"{where}: {name} is larger than {bytes_max // 2**20} MiB, which no such file is.")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = error if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise ArchitectureError(f"{where}: {name} is not JSON ({reason}).") from error
    if not isinstance(document, dict):
        raise ArchitectureError(f"{where}: {name} holds {type(document).__name__}, expected an object.")
    return document

"""The data files beside models.yml: a model's config.json as it was read, and where it was read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_hoster.errors import ConfigError
from llm_hoster.fit.configuration import CONFIG_BYTES_MAX
from llm_hoster.fit.json_file import read_json
from llm_hoster.models_command.publication import Publication

FOLDER = "configs"


def data_file_name(source: str, name: str) -> str:
    """Call it by the Hugging Face id, with two hyphens for the slash; a folder's by the name of its entry."""
    return f"{source.replace('/', '--').lower() if is_id(source) else name}.json"


def is_id(source: str) -> bool:
    return not source.startswith(("/", "./", "../", "$"))


def data_file_text(publication: Publication) -> str:
    weights = publication.weights
    document: dict[str, Any] = {
        "model": publication.source,
        "read_from": publication.read_from,
        "weights_bytes": None if weights is None else weights.bytes,
        "weights_read_from": None if weights is None else weights.read_from,
        "config": publication.config,
    }
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"


def require_ours(path: Path, source: str) -> None:
    """Refuse to write over the file of another model."""
    if path.exists():
        owner = read_json(path, CONFIG_BYTES_MAX).get("model")
        if str(owner).casefold() != source.casefold():
            raise ConfigError(f"{path}: is the file of {owner}, not of {source}. Choose another name with --name.")

"""A model's own description: its config.json, and the exact size of its weights where files tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.architecture import Architecture, read_architecture
from llm_hoster.fit.json_file import read_json
from llm_hoster.fit.safetensors import is_size, weights_bytes
from llm_hoster.fit.weights import published_bytes as count_published_bytes

CONFIG = "config.json"
# The largest config.json known has half a megabyte.
CONFIG_BYTES_MAX = 4 * 2**20


@dataclass(frozen=True)
class Configuration:
    config: Mapping[str, Any]
    weights_bytes: int | None

    @cached_property
    def architecture(self) -> Architecture:
        """Raise ArchitectureError when the configuration is of no kind that can be counted."""
        return read_architecture(self.config)

    @property
    def published_bytes(self) -> int:
        """The size of the weight files: exact where they or their index were seen, else counted from the config."""
        return self.weights_bytes or count_published_bytes(self.architecture)


def read_folder(folder: Path) -> Configuration:
    """Read config.json and the sizes of the weight files beside it; there may be none. Raise ArchitectureError."""
    return Configuration(read_json(folder / CONFIG, CONFIG_BYTES_MAX), weights_bytes(folder))


def read_data_file(path: Path) -> Configuration:
    """Read one of config/configs/: a config.json with its source. Raise ArchitectureError."""
    document = read_json(path, CONFIG_BYTES_MAX)
    config, size = document.get("config"), document.get("weights_bytes")
    if not isinstance(config, dict) or not (size is None or is_size(size)):
        raise ArchitectureError(
            f"{path}: not the description of a model: expected an object in `config`, and a number of bytes or null in "
            "`weights_bytes`. Write it with `llm-hoster models add`."
        )
    return Configuration(config, size)

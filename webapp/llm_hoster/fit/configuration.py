"""A model's own description: its config.json, and the exact size of its weights where files tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.architecture import Architecture, read_architecture
from llm_hoster.fit.safetensors import weights_bytes
from llm_hoster.fit.weights import published_bytes as count_published_bytes

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
# The largest config.json known has half a megabyte, an index with hundreds of thousands of tensors fifty.
CONFIG_BYTES_MAX = 4 * 2**20
INDEX_BYTES_MAX = 128 * 2**20


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
    return Configuration(read_json(folder / CONFIG, CONFIG_BYTES_MAX), _weights_in(folder))


def read_data_file(path: Path) -> Configuration:
    """Read one of config/configs/: a config.json with its source. Raise ArchitectureError."""
    document = read_json(path, CONFIG_BYTES_MAX)
    config, size = document.get("config"), document.get("weights_bytes")
    if not isinstance(config, dict) or not (size is None or isinstance(size, int)):
        raise ArchitectureError(
            f"{path}: not the description of a model: expected an object in `config`, and a number of bytes or null in "
            "`weights_bytes`. Write it with `llm-hoster models add`."
        )
    return Configuration(config, size)


def find_in_cache(model: str, hf_home: Path) -> Path | None:
    """Find the folder of the newest snapshot of a Hugging Face id that holds a config.json, as the hub lays it out."""
    repository = hf_home / "hub" / f"models--{model.replace('/', '--')}"
    snapshots = [path.parent for path in repository.glob(f"snapshots/*/{CONFIG}")]
    main = repository / "refs" / "main"
    if main.is_file():
        named = repository / "snapshots" / main.read_text(encoding="ascii", errors="replace").strip()
        if named in snapshots:
            return named
    return max(snapshots, key=lambda path: path.stat().st_mtime, default=None)


def read_json(path: Path, bytes_max: int) -> dict[str, Any]:
    """Read a JSON object; raise ArchitectureError when it is none, or larger than such a file ever is."""
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise ArchitectureError(f"{path}: larger than {bytes_max // 2**20} MiB, which no such file is.")
        document = json.loads(content)
    except OSError as error:
        raise ArchitectureError(f"{path}: cannot be read ({error.strerror}). A model's folder holds one.") from error
    except (ValueError, RecursionError) as error:
        raise ArchitectureError(f"{path}: not JSON ({error}).") from error
    if not isinstance(document, dict):
        raise ArchitectureError(f"{path}: expected a JSON object, found {type(document).__name__}.")
    return document


def _weights_in(folder: Path) -> int | None:
    """Sum up the headers of the weight files; where not all of them are there yet, believe their index."""
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX, INDEX_BYTES_MAX)
        shards = set(index.get("weight_map", {}).values())
        if not all((folder / str(shard)).is_file() for shard in shards):
            size = index.get("metadata", {}).get("total_size")
            return size if isinstance(size, int) else None
    return weights_bytes(folder) if any(folder.glob("*.safetensors")) else None

"""The files of a model's weights, in the order in which vLLM reads them (its default loader)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.hub_cache import cache_of, find_snapshot, repository_of
from llm_hoster.regular_file import open_regular

INDEX_BYTES_MAX = 64 * 2**20
# The first pattern that finds something counts. Mistral's own layout often lies beside the other.
PATTERNS = {
    "*.safetensors": "model.safetensors.index.json",
    "*.bin": "pytorch_model.bin.index.json",
    "*.pt": "pytorch_model.bin.index.json",
}
MISTRAL_PATTERNS = {"consolidated*.safetensors": "consolidated.safetensors.index.json"}
LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


@dataclass(frozen=True)
class Part:
    """The nodes share the layers of a model out (pipeline parallel): this one is `number`, from 0, of `count`."""

    number: int = 0
    count: int = 1


ALL = Part()


def local_folder(source: str, environment: Mapping[str, str]) -> Path | None:
    """Where a model lies, a folder or a hub id; `environment` is vLLM's, which says where its cache is."""
    folder = Path(source) if source.startswith("/") else find_snapshot(repository_of(source, cache_of(environment)))
    return folder if folder is not None and folder.is_dir() else None


def weight_files(folder: Path, part: Part = ALL, *, is_mistral: bool = False) -> list[Path]:
    """Give the files that vLLM reads on a node of this part; nothing where there are none, or none to be seen."""
    for pattern, index in (MISTRAL_PATTERNS if is_mistral else PATTERNS).items():
        found = sorted((path for path in _glob(folder, pattern) if path.is_file()), key=_natural_order)
        if found:
            return _of_part(found, _weight_map(folder / index), part)
    return []


def total_bytes(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []


def _natural_order(path: Path) -> list[tuple[bool, int, str]]:
    """Sort model-2 before model-10."""
    pieces = re.split(r"(\d+)", path.name)
    return [(piece.isdigit(), int(piece) if piece.isdigit() else 0, piece) for piece in pieces]


def _weight_map(path: Path) -> dict[str, str]:
    """Tell for each tensor its file; empty where no index can be read: then all files count."""
    try:
        with open_regular(path) as file:
            entries = json.loads(file.read(INDEX_BYTES_MAX))["weight_map"]
        return {str(tensor): str(name) for tensor, name in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}


def _of_part(files: Sequence[Path], weight_map: dict[str, str], part: Part) -> list[Path]:
    """Leave out what the index does not name, and what holds nothing but layers of other nodes."""
    if not weight_map:
        return list(files)
    layers = {tensor: int(match[1]) for tensor in weight_map if (match := LAYER.search(tensor))}
    count = max(layers.values(), default=-1) + 1
    # vLLM gives the layers that are left over to one node or another: one more at each end is read.
    first, last = count * part.number // part.count - 1, -(-count * (part.number + 1) // part.count)
    wanted = {name for tensor, name in weight_map.items() if first <= layers.get(tensor, first) <= last}
    return [path for path in files if path.name in wanted]

"""The headers of safetensors files: which tensors there are and how many bytes they take. No tensor is read.

A file begins with the length of its header, 8 bytes with the lowest first; the header is a JSON object that names each
tensor's data type, shape and place behind it (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, TypeGuard

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.json_file import parse_json, read_json
from llm_hoster.regular_file import open_regular

INDEX = "model.safetensors.index.json"
LENGTH_BYTES = 8
# The same limit as the library's own reader has.
HEADER_BYTES_MAX = 100_000_000
# An index with hundreds of thousands of tensors has fifty megabytes.
INDEX_BYTES_MAX = 128 * 2**20
DIMENSIONS_MAX = 16
FILES_MAX = 10_000
NAME_LENGTH_MAX = 255
SIZE_MAX = 2**63
METADATA = "__metadata__"
BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


@dataclass(frozen=True)
class Tensor:
    dtype: str
    """As safetensors names it: BF16, F8_E4M3, ..."""
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Index:
    """Which files hold the weights, and how many bytes all tensors take as far as that is told."""

    files: frozenset[str]
    total_size: int | None


def read_headers(folder: Path) -> dict[str, Tensor]:
    """The tensors that vLLM would load from here, by name. Raise ArchitectureError for files that are damaged."""
    return _read_files(_weight_files(folder, _read_index(folder)))


def weights_bytes(folder: Path) -> int | None:
    """
    Sum up the headers of the weight files; where not all of them are there yet, believe their index.

    None where nothing tells. Raise ArchitectureError for files that are damaged.
    """
    index = _read_index(folder)
    if index is not None and not all(os.path.isfile(folder / name) for name in index.files):
        return index.total_size
    if not safetensors_in(folder):
        return None
    return sum(tensor.bytes for tensor in _read_files(_weight_files(folder, index)).values())


def safetensors_in(folder: Path) -> list[Path]:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))
    except OSError as error:
        raise ArchitectureError(f"{folder}: cannot be read ({error.strerror}).") from error
    return [folder / name for name in names[:FILES_MAX]]


def total_size(index: Mapping[str, object]) -> int | None:
    """The size of all tensors that an index tells, None where that is nothing to believe."""
    metadata = index.get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    return size if is_size(size) else None


def is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value < SIZE_MAX


def _read_index(folder: Path) -> Index | None:
    """Take names only: what lies beside the folder is nobody's weights."""
    path = folder / INDEX
    if not os.path.isfile(path):
        return None
    document = read_json(path, INDEX_BYTES_MAX)
    files = document.get("weight_map")
    if not isinstance(files, dict) or not all(_is_file_name(file) for file in files.values()):
        raise ArchitectureError(
            f"{path}: expected in `weight_map` the name of a file beside it for each tensor. Download it again."
        )
    named = frozenset(files.values())
    if len(named) > FILES_MAX:
        raise ArchitectureError(f"{path}: names {len(named)} files, expected at most {FILES_MAX}.")
    return Index(named, total_size(document))


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_LENGTH_MAX and PurePath(value).name == value


def _weight_files(folder: Path, index: Index | None) -> list[Path]:
    """The files that the index names, else all; publishers put the same weights there under a second layout."""
    found = safetensors_in(folder)
    if index is not None:
        found = [path for path in found if path.name in index.files]
    else:
        found = [path for path in found if not path.name.startswith("consolidated")] or found
    if not found:
        raise ArchitectureError(f"{folder}: holds no safetensors files, in which a model's weights are expected.")
    return found


def _read_files(paths: Iterable[Path]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in read_header(path).items():
            if name in tensors:
                raise ArchitectureError(
                    f"{path}: the tensor {name[:80]!r} is in another file of this folder, too. Expected each tensor "
                    "once: keep the files of one model in one folder."
                )
            tensors[name] = tensor
    return tensors


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, by name. Raise ArchitectureError for one that is damaged, or not whole yet."""
    try:
        with open_regular(path) as file:
            return _read_tensors(path, file)
    except OSError as error:
        raise ArchitectureError(f"{path}: cannot be read ({error.strerror}).") from error


def _read_tensors(path: Path, file: BinaryIO) -> dict[str, Tensor]:
    start = file.read(LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    if len(start) < LENGTH_BYTES or not 2 <= length <= HEADER_BYTES_MAX:
        raise ArchitectureError(
            f"{path}: not a safetensors file: it says that its header has {length} bytes, expected 2 to "
            f"{HEADER_BYTES_MAX}. Download it again."
        )
    header = file.read(length)
    if len(header) < length:
        raise ArchitectureError(f"{path}: ends within its header. Download it again.")
    document = parse_json(str(path), header)
    tensors, places = {}, []
    for name, entry in document.items():
        if name == METADATA:
            continue
        tensors[name], place = _tensor(path, name, entry)
        places.append(place)
    size = os.fstat(file.fileno()).st_size - LENGTH_BYTES - length
    if _end(places) != size:
        raise ArchitectureError(
            f"{path}: the tensors that its header names do not fill its {size} bytes of data: it is incomplete or "
            "damaged. Download it again."
        )
    return tensors


def _tensor(path: Path, name: str, entry: object) -> tuple[Tensor, tuple[int, int]]:
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape = fields.get("dtype"), _sizes(fields.get("shape"), 0, DIMENSIONS_MAX)
    place = _sizes(fields.get("data_offsets"), 2, 2)
    if not isinstance(dtype, str) or shape is None or place is None:
        raise ArchitectureError(
            f"{path}: tensor {name[:80]!r}: expected a data type, a shape of at most {DIMENSIONS_MAX} whole numbers "
            f"and where it begins and ends, found {str(entry)[:80]}."
        )
    begin, end = place
    if dtype in BITS and math.prod(shape) * BITS[dtype] != (end - begin) * 8:
        raise ArchitectureError(
            f"{path}: tensor {name[:80]!r}: {dtype} of shape {str(shape)[:80]} does not take the {end - begin} bytes "
            "that are said. The file is damaged: download it again."
        )
    return Tensor(dtype, shape, end - begin), (begin, end)


def _sizes(values: object, least: int, most: int) -> tuple[int, ...] | None:
    if not isinstance(values, list) or not least <= len(values) <= most:
        return None
    whole = all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < SIZE_MAX for value in values)
    return tuple(values) if whole else None


def _end(places: list[tuple[int, int]]) -> int:
    """Where the last tensor ends when they lie one behind the other; -1 when they overlap or leave holes."""
    end = 0
    for begin, behind in sorted(places):
        if begin != end or behind < begin:
            return -1
        end = behind
    return end

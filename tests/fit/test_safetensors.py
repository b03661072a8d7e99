"""Headers of real files written here, and of files that nobody should believe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.safetensors import HEADER_BYTES_MAX, Tensor, read_headers, weights_bytes

Header = dict[str, object]


def entry(dtype: str, shape: list[int], begin: int, end: int) -> Header:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write(path: Path, header: object, data_bytes: int) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data_bytes))


TWO = {
    "__metadata__": {"format": "pt"},
    # Not in the order of their places, which is as files come.
    "model.norm.weight": entry("F32", [4], 24, 40),
    "model.embed_tokens.weight": entry("BF16", [3, 4], 0, 24),
    "model.scale": entry("F8_E4M3", [], 40, 41),
    "model.experts": entry("F4", [2, 4], 41, 45),
}


def test_sizes_and_shapes_of_every_tensor(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", TWO, 45)
    assert read_headers(tmp_path) == {
        "model.norm.weight": Tensor("F32", (4,), 16),
        "model.embed_tokens.weight": Tensor("BF16", (3, 4), 24),
        "model.scale": Tensor("F8_E4M3", (), 1),
        "model.experts": Tensor("F4", (2, 4), 4),
    }
    assert weights_bytes(tmp_path) == 16 + 24 + 1 + 4


def test_several_files_add_up(tmp_path: Path) -> None:
    write(tmp_path / "model-00001-of-00002.safetensors", {"a": entry("BF16", [5], 0, 10)}, 10)
    write(tmp_path / "model-00002-of-00002.safetensors", {"b": entry("I32", [5], 0, 20)}, 20)
    assert weights_bytes(tmp_path) == 30


def test_the_same_weights_in_a_second_layout_count_once(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", {"model.a": entry("BF16", [5], 0, 10)}, 10)
    write(tmp_path / "consolidated.safetensors", {"a": entry("BF16", [5], 0, 10)}, 10)
    assert weights_bytes(tmp_path) == 10
    (tmp_path / "model.safetensors").unlink()
    assert weights_bytes(tmp_path) == 10


def test_the_index_says_which_files_are_loaded(tmp_path: Path) -> None:
    write(tmp_path / "model-1.safetensors", {"a": entry("BF16", [5], 0, 10)}, 10)
    write(tmp_path / "other.safetensors", {"a": entry("BF16", [5], 0, 10)}, 10)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    assert weights_bytes(tmp_path) == 10


def test_the_whole_data_is_never_read(tmp_path: Path) -> None:
    """A file of a terabyte with nothing in it, as a file system with holes has it."""
    size = 10**12
    header = json.dumps({"a": entry("BF16", [size // 2], 0, size)}).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    assert weights_bytes(tmp_path) == size


def header_of(value: object, data_bytes: int = 0) -> Callable[[Path], None]:
    return lambda path: write(path, value, data_bytes)


def content(value: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(value) and None


HOSTILE = {
    "empty": (content(b""), "says that its header has 0 bytes"),
    "a page of HTML": (content(b"<!DOCTYPE html><title>404</title>"), "not a safetensors file"),
    "header of exabytes": (content(b"\xff" * 7 + b"\x7f" + b"{}"), "not a safetensors file"),
    "header just too long": (content((HEADER_BYTES_MAX + 1).to_bytes(8, "little") + b"{}"), f"2 to {HEADER_BYTES_MAX}"),
    "cut off in its header": (content((100).to_bytes(8, "little") + b'{"a":'), "ends within its header"),
    "not JSON": (content((4).to_bytes(8, "little") + b"{{{{"), "not JSON"),
    "deep JSON": (content((200_000).to_bytes(8, "little") + b"[" * 200_000), "not JSON"),
    "not UTF-8": (content((4).to_bytes(8, "little") + b'"\xff\xfe"'), "not JSON"),
    "a list": (header_of([1, 2]), "expected a JSON object, found list"),
    "no fields": (header_of({"a": 7}), "expected a data type"),
    "no offsets": (header_of({"a": {"dtype": "BF16", "shape": [1]}}, 2), "expected a data type"),
    "three offsets": (
        header_of({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 1, 2]}}, 2),
        "expected a data",
    ),
    "negative size": (header_of({"a": entry("BF16", [-1], 0, 2)}, 2), "expected a data type"),
    "fraction": (header_of({"a": {"dtype": "U8", "shape": [1.5], "data_offsets": [0, 1]}}, 1), "expected a data type"),
    "true as a size": (
        header_of({"a": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}}, 1),
        "expected a data",
    ),
    "too many dimensions": (header_of({"a": entry("U8", [1] * 17, 0, 1)}, 1), "at most 16"),
    "more bytes than its shape": (header_of({"a": entry("BF16", [2], 0, 6)}, 6), "does not take the 6 bytes"),
    "backwards": (header_of({"a": entry("X9", [2], 4, 0)}, 0), "incomplete or damaged"),
    "behind the end": (header_of({"a": entry("BF16", [50], 0, 100)}, 99), "incomplete or damaged"),
    "a hole": (header_of({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 3, 5)}, 5), "incomplete or damaged"),
    "twice the same place": (
        header_of({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 0, 4)}, 4),
        "incomplete or damaged",
    ),
    "data that no tensor claims": (header_of({"a": entry("U8", [4], 0, 4)}, 9), "incomplete or damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_damaged_file_is_refused_with_its_name(case: str, tmp_path: Path) -> None:
    make, words = HOSTILE[case]
    make(tmp_path / "model.safetensors")
    with pytest.raises(ArchitectureError) as fault:
        weights_bytes(tmp_path)
    assert words in str(fault.value)
    assert "model.safetensors" in str(fault.value)
    assert len(str(fault.value)) < 600


def test_a_tensor_of_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("one.safetensors", "two.safetensors"):
        write(tmp_path / name, {"a": entry("U8", [4], 0, 4)}, 4)
    with pytest.raises(ArchitectureError, match="another file"):
        read_headers(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match="holds no safetensors"):
        read_headers(tmp_path)
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(ArchitectureError, match="cannot be read"):
        read_headers(tmp_path)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}', "{"])
def test_a_damaged_index_is_refused(index: str, tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", {"a": entry("U8", [4], 0, 4)}, 4)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ArchitectureError, match="index"):
        read_headers(tmp_path)

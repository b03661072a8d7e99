"""Folders of models as strangers leave them: what is believed of them, and that nothing but a sentence comes out."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit import safetensors
from llm_hoster.fit.configuration import read_data_file, read_folder
from tests.catalogue.small_site import CONFIG

INDEX = "model.safetensors.index.json"
SHARD = "model-00001-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    return path


def write_shard(path: Path, size: int = 24) -> None:
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))


def write_index(folder: Path, weight_map: object, **more: object) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map, **more}))


def test_the_index_is_believed_while_a_file_is_missing_and_the_files_are_when_all_are_there(folder: Path) -> None:
    write_index(folder, {"a": SHARD}, metadata={"total_size": 7})
    assert read_folder(folder).weights_bytes == 7
    write_shard(folder / SHARD)
    assert read_folder(folder).weights_bytes == 24


@pytest.mark.parametrize(
    "metadata", [None, [1], "x", {}, *({"total_size": size} for size in (-(10**30), 0, 2**63, True, "9", 1.5))]
)
def test_a_size_that_is_none_is_not_believed(folder: Path, metadata: object) -> None:
    write_index(folder, {"a": SHARD}, metadata=metadata)
    found = read_folder(folder)
    assert found.weights_bytes is None
    assert found.published_bytes > 10**9


@pytest.mark.parametrize(
    "weight_map",
    [
        pytest.param([1], id="a list"),
        pytest.param("x", id="text"),
        pytest.param(None, id="null"),
        pytest.param({"a": {}}, id="an object as a name"),
        pytest.param({"a": 1}, id="a number as a name"),
        pytest.param({"a": ""}, id="no name"),
        pytest.param({"a": "x" * 5000}, id="a name of 5000 letters"),
        pytest.param({"a": "/root/x.safetensors"}, id="a path"),
        pytest.param({"a": "../model/" + SHARD}, id="a path above"),
        pytest.param({str(number): f"{number}.safetensors" for number in range(10_001)}, id="too many files"),
    ],
)
def test_an_index_that_names_no_files_of_this_folder_is_refused(folder: Path, weight_map: object) -> None:
    write_shard(folder / SHARD)
    write_index(folder, weight_map, metadata={"total_size": 7})
    with pytest.raises(ArchitectureError, match=r"index\.json: (expected in `weight_map`|names 10001 files)"):
        read_folder(folder)


@pytest.mark.parametrize("name", ["..", "a\0b", "\ud800", "x" * 255, "\u6a21" * 255])
def test_an_odd_name_is_a_file_that_is_not_there(folder: Path, name: str) -> None:
    write_index(folder, {"a": name}, metadata={"total_size": 7})
    assert read_folder(folder).weights_bytes == 7


def test_an_index_that_is_too_large_is_refused_and_not_cut_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "INDEX_BYTES_MAX", 2**20)
    (folder / INDEX).write_text(json.dumps({"weight_map": {}}) + " " * 2**20)
    with pytest.raises(ArchitectureError, match="larger than 1 MiB"):
        read_folder(folder)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


MAKE = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/ptmx"),
    "socket": make_socket,
    "folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_is_no_file_is_refused_at_once(short_dir: Path, name: str, kind: str) -> None:
    """A pipe would be waited for without end, and a device may have no end."""
    (short_dir / "config.json").write_text(json.dumps(CONFIG))
    (short_dir / name).unlink(missing_ok=True)
    MAKE[kind](short_dir / name)
    with pytest.raises(ArchitectureError, match=rf"{name}: cannot be read \((a pipe or a device|Is a dir|No such dev)"):
        read_folder(short_dir)


def test_a_file_that_may_not_be_read_is_a_sentence(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("config.json")
    with pytest.raises(ArchitectureError, match="cannot be read"):
        read_folder(folder)


@pytest.mark.parametrize("size", [-(10**30), 0, True, "9"])
def test_a_data_file_with_a_size_that_is_none_is_refused(tmp_path: Path, size: object) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"config": CONFIG, "weights_bytes": size}))
    with pytest.raises(ArchitectureError, match="not the description of a model"):
        read_data_file(path)

"""LoRA folders: what is found in them, what vLLM is told, and what is refused before it starts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llm_hoster.engine.vllm.adapter import Found, adapter_arguments, find_adapters, look_for_adapters
from llm_hoster.errors import SessionError


def make_adapter(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, "lora_alpha": 16} | config))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def test_the_folder_itself_is_the_adapter_and_its_checkpoints_are_not(tmp_path):
    folder = make_adapter(tmp_path / "my, first=adapter!")
    make_adapter(folder / "checkpoint-500")
    (adapter,) = find_adapters(folder, "tiny")
    assert (adapter.name, adapter.folder, adapter.rank) == ("my-first-adapter", folder, 8)
    assert adapter_arguments([adapter]) == [
        "--enable-lora", "--max-lora-rank", "16", "--max-loras", "1", "--max-cpu-loras", "64",
        "--api-server-count", "1",
        "--lora-modules", json.dumps({"name": "my-first-adapter", "path": str(folder)}),
    ]  # fmt: skip


def test_sub_folders_are_adapters_of_one_session(tmp_path):
    for number, rank in enumerate((4, 17, 8, 1, 2)):
        make_adapter(tmp_path / f"a{number}", r=rank)
    (tmp_path / "notes").mkdir()
    adapters = find_adapters(tmp_path, "tiny")
    assert [adapter.name for adapter in adapters] == ["a0", "a1", "a2", "a3", "a4"]
    arguments = adapter_arguments(adapters)
    assert arguments[:5] == ["--enable-lora", "--max-lora-rank", "32", "--max-loras", "4"]
    assert len(arguments[arguments.index("--lora-modules") + 1 :]) == 5


def test_one_adapter_in_a_sub_folder_leaves_a_place_for_another(tmp_path):
    make_adapter(tmp_path / "law", r=4)
    (law,) = find_adapters(tmp_path, "tiny")
    assert adapter_arguments([law])[:5] == ["--enable-lora", "--max-lora-rank", "16", "--max-loras", "2"]


def test_what_came_later_has_no_room_of_its_own_and_what_has_gone_keeps_it(tmp_path):
    """A start after a crash must not need more memory than the one that worked."""
    for name in ("a", "b", "c"):
        make_adapter(tmp_path / name)
    a, b, c = find_adapters(tmp_path, "tiny")
    arguments = adapter_arguments([b, c], [a])
    assert arguments[3:5] == ["--max-loras", "2"]
    assert [json.loads(each)["name"] for each in arguments[arguments.index("--lora-modules") + 1 :]] == ["b", "c"]
    assert adapter_arguments([], [a])[:3] == ["--enable-lora", "--max-lora-rank", "16"]
    assert "--lora-modules" not in adapter_arguments([], [a])


def test_the_largest_rank_of_a_pattern_counts(tmp_path):
    (adapter,) = find_adapters(make_adapter(tmp_path / "a", rank_pattern={"q_proj": 200}), "tiny")
    assert adapter_arguments([adapter])[2] == "256"


def test_no_folder_means_no_argument():
    assert adapter_arguments([]) == []


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SessionError, match=r"this LoRA folder cannot be read on the node .*No such file"):
        find_adapters(tmp_path / "nowhere", "tiny")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match=r"cannot be read on the node .*Not a directory"):
        find_adapters(tmp_path / "file", "tiny")


def test_a_folder_without_an_adapter_is_told(tmp_path):
    with pytest.raises(
        SessionError, match=r"no LoRA adapters are in this folder, expected 1 to 32: adapter_config\.json"
    ):
        find_adapters(tmp_path, "tiny")


def test_too_many_adapters_are_told(tmp_path):
    for number in range(33):
        make_adapter(tmp_path / str(number))
    with pytest.raises(SessionError, match="33 LoRA adapters are in this folder"):
        find_adapters(tmp_path, "tiny")


def test_weights_in_another_format_are_refused(tmp_path):
    folder = make_adapter(tmp_path / "a")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(SessionError, match=r"adapter_model\.safetensors is missing"):
        find_adapters(folder, "tiny")


@pytest.mark.parametrize("name", ["tiny", "tiny!"])
def test_a_name_that_is_taken_is_told(tmp_path, name):
    with pytest.raises(SessionError, match="its name would be tiny, which another model of this session has"):
        find_adapters(make_adapter(tmp_path / name), "tiny")


def test_two_folders_with_one_name_are_told(tmp_path):
    make_adapter(tmp_path / "my law")
    make_adapter(tmp_path / "my,law")
    with pytest.raises(SessionError, match="its name would be my-law, which another model"):
        find_adapters(tmp_path, "tiny")


@pytest.mark.parametrize("rank", [0, -1, 513, 8.5, "8", None, True, 10**30])
def test_a_rank_that_vllm_cannot_take_is_told(tmp_path, rank):
    with pytest.raises(SessionError, match="is not a whole number from 1 to 512"):
        find_adapters(make_adapter(tmp_path / "a", r=rank), "tiny")


@pytest.mark.parametrize("pattern", [{"q_proj": "9"}, {"q_proj": 4096}, ["q_proj"]])
def test_a_pattern_of_ranks_that_vllm_cannot_take_is_told(tmp_path, pattern):
    with pytest.raises(SessionError, match="is not a whole number from 1 to 512"):
        find_adapters(make_adapter(tmp_path / "a", rank_pattern=pattern), "tiny")


def test_a_kind_that_vllm_cannot_serve_is_told(tmp_path):
    with pytest.raises(SessionError, match=r"this adapter is DoRA \(use_dora\), which vLLM cannot serve"):
        find_adapters(make_adapter(tmp_path / "a", use_dora=True), "tiny")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\xff", "[" * 100_000, '{"r": 8, "x": "' + "y" * 2**20])
def test_a_broken_description_is_told(tmp_path, text):
    folder = make_adapter(tmp_path / "a")
    (folder / "adapter_config.json").write_text(text, encoding="latin-1")
    with pytest.raises(SessionError, match=r"adapter_config\.json: not the description of a LoRA adapter"):
        find_adapters(folder, "tiny")


def test_a_description_that_cannot_be_read_is_told(tmp_path):
    folder = make_adapter(tmp_path / "a")
    (folder / "adapter_config.json").unlink()
    (folder / "adapter_config.json").mkdir()
    with pytest.raises(SessionError, match=r"adapter_config\.json: cannot be read \(Is a directory\)"):
        find_adapters(folder, "tiny")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_pipe_is_told_and_not_waited_for(tmp_path, name):
    folder = make_adapter(tmp_path / "a")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(SessionError, match=f"{name}: cannot be read .a pipe or a device|{name} is missing"):
        find_adapters(folder, "tiny")


def test_one_that_cannot_be_served_does_not_hide_the_others(tmp_path):
    make_adapter(tmp_path / "a")
    make_adapter(tmp_path / "b", r=0)
    found = look_for_adapters(tmp_path, "tiny")
    assert [adapter.name for adapter in found.adapters] == ["a"]
    assert list(found.faults) == ["b"]
    assert "rank (r) 0 is not a whole number" in found.faults["b"]


def test_an_empty_folder_is_one_from_which_all_have_gone(tmp_path):
    assert look_for_adapters(tmp_path, "tiny") == Found([], {})
    with pytest.raises(SessionError, match="cannot be read on the node"):
        look_for_adapters(tmp_path / "nowhere", "tiny")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_file_that_changes_changes_the_adapter(tmp_path, name):
    folder = make_adapter(tmp_path / "a")
    before = find_adapters(folder, "tiny")
    assert find_adapters(folder, "tiny") == before
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert find_adapters(folder, "tiny") != before

"""Where the cache of the hub lies, and which version of a model in it counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_hoster.hub_cache import cache_of, find_in_caches, find_snapshot, repository_of


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repository_of("org/model", tmp_path / "hub")


def make_snapshot(repository: Path, name: str) -> Path:
    folder = repository / "snapshots" / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def refer(repository: Path, text: str) -> None:
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(text)


@pytest.mark.parametrize(
    ("environment", "cache"),
    [
        ({"HF_HOME": "/h"}, "/h/hub"),
        ({"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/new"}, "/new"),
        ({"HF_HOME": "$SOME_FOLDER/h"}, "/some/h/hub"),
        ({"HF_HUB_CACHE": "~/c"}, "/home/ann/c"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({}, "/home/ann/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_the_one_that_vllm_takes(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], cache: str
) -> None:
    monkeypatch.setenv("SOME_FOLDER", "/some")
    monkeypatch.setenv("HOME", "/home/ann")
    assert cache_of(environment) == Path(cache)


def test_the_reference_decides_whatever_was_written_last(repository: Path) -> None:
    named = make_snapshot(repository, "main-one")
    os.utime(named, (1, 1))
    make_snapshot(repository, "newer")
    refer(repository, "main-one\n")
    assert find_snapshot(repository) == named


def test_without_a_reference_the_only_version_counts_and_none_of_several(repository: Path) -> None:
    assert find_snapshot(repository) is None
    only = make_snapshot(repository, "a")
    (repository / "snapshots" / ".DS_Store").write_text("")
    assert find_snapshot(repository) == only
    make_snapshot(repository, "b")
    assert find_snapshot(repository) is None


@pytest.mark.parametrize("text", ["", "gone", "..", "../../..", "/", "a/../a", "\0", "\xff", "a" * 10**6])
def test_a_reference_to_no_version_here_gives_none(repository: Path, text: str) -> None:
    make_snapshot(repository, "a")
    refer(repository, text)
    assert find_snapshot(repository) is None


def test_a_pipe_in_the_place_of_the_reference_is_not_waited_for(repository: Path) -> None:
    make_snapshot(repository, "a")
    (repository / "refs").mkdir()
    os.mkfifo(repository / "refs" / "main")
    assert find_snapshot(repository) is None


def test_the_first_cache_that_holds_the_file_counts(tmp_path: Path) -> None:
    caches = [tmp_path / name for name in "abc"]
    first, second, third = (make_snapshot(repository_of("org/model", cache), "x") for cache in caches)
    (first / "config.json").unlink()
    assert find_in_caches("org/model", caches, "config.json") == second
    assert find_in_caches("org/model", caches[::-1], "config.json") == third
    assert find_in_caches("org/other", caches, "config.json") is None

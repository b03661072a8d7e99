"""Copies on the node's disk: made once, shared, removed, and done without where they cannot be made."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.engine.model.model_link import link_name
from llm_hoster.engine.model.staging import Staging, copy_of, folder_in, remove_staged
from tests.engine.conftest import wait_until
from tests.engine.test_page_cache import make_model

MIB = 2**20

Start = Callable[[Path], Staging]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the staging of a model, as a session with a folder of its own does."""
    begun: list[Staging] = []

    def begin(model: Path) -> Staging:
        tmp_dir = tmp_path / f"runtime-{len(begun)}" / "t"
        tmp_dir.mkdir(parents=True)
        staging = Staging(str(model), {}, tmp_path / "stage", "tiny", tmp_dir)
        staging.start(lambda: None)
        begun.append(staging)
        return staging

    yield begin
    for staging in begun:
        end(staging)


def end(staging: Staging) -> None:
    for child in staging.children:
        child.signal_group(signal.SIGTERM)
        wait_until(lambda child=child: not child.is_running)  # type: ignore[misc]


def wait(staging: Staging) -> None:
    def is_done() -> bool:
        staging.look()
        return staging.is_done

    wait_until(is_done)
    assert staging.failure is None


def make_hub_model(tmp_path: Path) -> Path:
    """A snapshot of the Hugging Face cache: links to files elsewhere, and weights in a second form."""
    blobs = make_model(tmp_path / "blobs", ["0", "1"], size=3 * MIB)
    model = make_model(tmp_path / "model", ["config.json", "pytorch_model.bin"], size=10)
    for number in "01":
        (model / f"model-{number}.safetensors").symlink_to(blobs / number)
    make_model(model / "1_Pooling", ["config.json"], size=10)
    make_model(model / "onnx", ["model.onnx"], size=10)
    return model


def link_of(tmp_path: Path, number: int = 0) -> Path:
    return tmp_path / f"runtime-{number}" / "t" / link_name("tiny")


def test_the_copy_is_what_vllm_reads(tmp_path: Path, start: Start) -> None:
    model = make_hub_model(tmp_path)
    staging = start(model)
    wait(staging)

    copy = link_of(tmp_path).resolve()
    assert copy == copy_of(model, tmp_path / "stage")
    found = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
    assert found == [".complete", "1_Pooling/config.json", "config.json", "model-0.safetensors", "model-1.safetensors"]
    assert not any(path.is_symlink() for path in copy.rglob("*"))
    assert all((copy / name).read_bytes() == (model / name).read_bytes() for name in found[1:])
    assert folder_in(tmp_path / "stage").stat().st_mode & 0o777 == 0o700


def test_two_sessions_share_one_copy_and_the_last_removes_it(tmp_path: Path, start: Start) -> None:
    model = make_hub_model(tmp_path)
    first, second = start(model), start(model)
    wait(first)
    wait(second)
    copy = link_of(tmp_path).resolve()
    assert link_of(tmp_path, 1).resolve() == copy
    made_at = (copy / ".complete").stat().st_mtime_ns

    end(first)
    remove_staged(tmp_path / "stage")
    assert (copy / ".complete").stat().st_mtime_ns == made_at
    end(second)
    remove_staged(tmp_path / "stage")

    assert not copy.exists()


def test_a_copy_that_somebody_was_killed_over_is_made_anew(tmp_path: Path, start: Start) -> None:
    model = make_hub_model(tmp_path)
    copy = copy_of(model, tmp_path / "stage")
    make_model(folder_in(tmp_path / "stage"), [], 0).chmod(0o700)
    make_model(copy, ["config.json"], size=1)

    wait(start(model))

    assert (copy / "config.json").stat().st_size == 10


def test_a_full_disk_is_borne(tmp_path: Path, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_model(tmp_path / "model", ["config.json"], size=1)
    with (model / "model.safetensors").open("wb") as file:
        os.truncate(file.fileno(), shutil.disk_usage(tmp_path).free + 1)
    staging = start(model)
    wait(staging)

    assert link_of(tmp_path).resolve() == model
    said = capsys.readouterr().out
    assert "the model is read from where it lies: it has " in said and "GiB left." in said


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path, start: Start) -> None:
    model = make_hub_model(tmp_path)
    folder_in(tmp_path / "stage").mkdir(parents=True)
    folder_in(tmp_path / "stage").chmod(0o777)
    staging = start(model)
    wait(staging)

    assert link_of(tmp_path).resolve() == model


def test_a_copying_that_is_killed_is_done_without(tmp_path: Path, start: Start) -> None:
    model = make_model(tmp_path / "model", ["model.safetensors"], size=64 * MIB)
    staging = start(model)
    staging.children[0].signal_group(signal.SIGKILL)
    wait(staging)

    assert link_of(tmp_path).resolve() == model


def test_a_model_that_is_not_there_is_told(tmp_path: Path, start: Start) -> None:
    staging = start(tmp_path / "none")

    assert staging.failure is not None and staging.failure.cause.endswith("no such model on this node to be copied.")

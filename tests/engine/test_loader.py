"""Which loader is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_hoster.catalogue.compiled import Accelerator, Engine
from llm_hoster.engine.model.loader import choose_loader

OWN = "safetensors"


def make_engine(folder: Path, *packages: str, kind: str = "venv", accelerator: Accelerator = "cuda") -> Engine:
    for package in packages:
        (folder / "lib" / "python3.12" / "site-packages" / package).mkdir(parents=True)
        (folder / "lib" / "python3.12" / "site-packages" / package / "__init__.py").touch()
    values = {"name": "e", "kind": kind, "target": str(folder), "accelerator": accelerator, "args": [], "env": {}}
    return Engine.model_validate(values)


def test_vllm_reads_by_itself_whatever_is_installed(tmp_path: Path) -> None:
    assert choose_loader(None, make_engine(tmp_path, "runai_model_streamer", "instanttensor")) == OWN


def test_the_site_names_one_that_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = make_engine(tmp_path, "instanttensor")

    assert choose_loader("instanttensor", engine) == "instanttensor"
    assert choose_loader("runai_streamer", engine) == OWN
    assert "site.yml names the loader runai_streamer, which is not installed" in capsys.readouterr().out


@pytest.mark.parametrize("accelerator", ["cpu", "rocm"])
def test_other_loaders_are_for_cuda(tmp_path: Path, accelerator: Accelerator) -> None:
    engine = make_engine(tmp_path, "runai_model_streamer", accelerator=accelerator)

    assert choose_loader("runai_streamer", engine) == OWN


def test_an_engine_that_cannot_be_looked_into_is_believed(tmp_path: Path) -> None:
    assert choose_loader("instanttensor", make_engine(tmp_path, kind="apptainer")) == "instanttensor"


def test_what_the_site_or_the_model_says_itself_counts(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, "runai_model_streamer")

    assert choose_loader("runai_streamer", engine, ["--load-format", "instanttensor"]) == "instanttensor"
    assert choose_loader(None, engine, ["--load-format=mistral"]) == "mistral"

"""`llm-hoster warm` with small programs in vLLM's place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ENGINE_NAME, MakeCatalogue
from tests.engine.test_verify import ANSWERS, DIES

MAIN = """
from llm_hoster import cli
cli.main()
"""
COMPILES = """
import os, pathlib
compiled = pathlib.Path(os.environ["VLLM_CACHE_ROOT"]) / "torch_compile_cache" / "model"
compiled.parent.mkdir(parents=True)
compiled.write_text("compiled")
"""


@pytest.fixture
def warm(tmp_path: Path, short_dir: Path, make_catalogue: MakeCatalogue):  # type: ignore[no-untyped-def]
    (tmp_path / "prefix").mkdir()

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        vllm = tmp_path / "engine" / "bin" / "vllm"
        vllm.parent.mkdir(parents=True)
        vllm.write_text(f"#!{sys.executable}\n{program}")
        vllm.chmod(0o755)
        site: dict[str, Any] = {"node_dir": str(short_dir), "prefix": str(tmp_path / "prefix")}
        catalogue = tmp_path / "catalogue.json"
        catalogue.write_text(json.dumps(make_catalogue(site=site, engine={"target": str(tmp_path / "engine")})))
        command = [sys.executable, "-c", MAIN, "warm", "tiny", "--gpu-type", "cpu"]
        command += ["--catalogue", str(catalogue), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run


def test_what_was_compiled_is_left_for_all(tmp_path: Path, warm) -> None:  # type: ignore[no-untyped-def]
    run = warm(COMPILES + ANSWERS)

    assert run.returncode == 0, run.stdout + run.stderr
    shared = tmp_path / "prefix" / "compiled" / ENGINE_NAME / "cpu" / "tiny"
    compiled = shared / "vllm" / "torch_compile_cache" / "model"
    assert compiled.read_text() == "compiled"
    assert compiled.stat().st_mode & 0o777 == 0o644
    assert all(folder.stat().st_mode & 0o777 == 0o755 for folder in (compiled.parent, shared, shared.parent))
    assert json.loads((shared / "warm.json").read_text())["choice"]["preset"] == "interactive"
    starts = list((tmp_path / "prefix" / "starts").glob("tiny-*.json"))
    assert json.loads(starts[0].read_text())["key"]["preset"] == "interactive"
    assert "'You said: Say hello.'" in run.stdout
    assert run.stdout.endswith(f" MiB of compiled code are in {shared} for all.\n")


def test_an_engine_that_dies_leaves_nothing(tmp_path: Path, warm) -> None:  # type: ignore[no-untyped-def]
    run = warm(COMPILES + DIES)

    assert run.returncode == 1
    assert "Nothing was kept. " in run.stdout
    assert not (tmp_path / "prefix" / "compiled").exists()


def test_a_choice_that_the_form_does_not_offer_is_refused(warm) -> None:  # type: ignore[no-untyped-def]
    run = warm(ANSWERS, "--preset", "none")

    assert run.returncode == 1
    assert "none" in run.stderr


EMBEDS = ANSWERS.replace(
    'message = {"content": "You said: " + asked["messages"][0]["content"]}',
    'message = {}\n        if "messages" in asked:\n            return self.send_error(404)',
).replace('{"choices": [{"message": message}]}', '{"data": [{"embedding": [0.5, 0.5]}]}')


def test_a_model_that_only_embeds_is_asked_for_that(warm) -> None:  # type: ignore[no-untyped-def]
    run = warm(COMPILES + EMBEDS)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "'2 numbers'" in run.stdout


def test_as_json_it_says_what_was_kept(tmp_path: Path, warm) -> None:  # type: ignore[no-untyped-def]
    run = warm(COMPILES + ANSWERS, "--json")

    document = json.loads(run.stdout)
    assert document["folder"] == str(tmp_path / "prefix" / "compiled" / ENGINE_NAME / "cpu" / "tiny")
    assert (document["failure"], document["bytes"] > 0, document["choice"]["model"]) == (None, True, "tiny")
    assert "'You said: Say hello.'" in run.stderr

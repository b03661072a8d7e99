"""vLLM's own parser takes every argument that a choice of the form can become."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import pytest

from llm_hoster.catalogue.preset import PRESETS
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.vllm.adapter import RANKS, find_adapters
from llm_hoster.engine.vllm.serve_arguments import base_arguments, choice_arguments
from llm_hoster.fit.fit import QUANTIZATIONS
from tests.conftest import ENGINE_NAME
from tests.engine.test_adapter import make_adapter
from tests.engine.test_serve_arguments import GPU, choose  # noqa: F401 - a fixture

pytestmark = pytest.mark.engine

# Reads argument lists as JSON and writes what vLLM understood.
PARSE = """
import json, sys
from typing import get_args
from vllm.config.lora import MaxLoRARanks
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
from vllm.utils.argparse_utils import FlexibleArgumentParser

NAMES = ("max_model_len", "quantization", "kv_cache_dtype", "performance_mode", "enable_lora", "max_lora_rank",
         "max_loras", "max_cpu_loras")
understood = []
for arguments in json.load(sys.stdin):
    values = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments[2:])
    modules = [[module.name, module.path] for module in values.lora_modules or []]
    understood.append({name: getattr(values, name) for name in NAMES} | {"lora_modules": modules})
json.dump([understood, QUANTIZATION_METHODS, get_args(MaxLoRARanks)], open(sys.argv[1], "w"))
"""


def test_vllm_understands_what_the_form_asks_for(choose, prefix, tmp_path):  # noqa: F811
    adapters = find_adapters(make_adapter(tmp_path / "law, 2026=new", r=20).parent, "tiny")
    make_adapter(tmp_path / "two" / "a")
    make_adapter(tmp_path / "two" / "b")
    loras = [[], adapters, find_adapters(tmp_path / "two", "tiny")]
    folders = Folders(Path("/tmp/llmh-abcdefgh"), Path("/scratch"))
    combinations = list(itertools.product(("auto", "1024"), ("none", "fp8_per_tensor"), PRESETS, loras))
    asked = [
        base_arguments("/m", "tiny", folders)
        + choice_arguments(
            choose({"engine": GPU | {"args": []}}, context_length=length, quantization=quantization, preset=preset),
            lora,
        )
        for length, quantization, preset, lora in combinations
    ]
    answer = tmp_path / "answer.json"
    subprocess.run(
        [prefix / "engine" / ENGINE_NAME / "bin" / "python", "-c", PARSE, answer],
        input=json.dumps(asked), text=True, check=True, capture_output=True, timeout=240,
    )  # fmt: skip
    understood, methods, ranks = json.loads(answer.read_text())

    assert [each["max_model_len"] for each in understood] == [
        -1 if length == "auto" else 1024 for length, *_ in combinations
    ]
    assert [each["quantization"] for each in understood] == [
        None if quantization == "none" else quantization for _, quantization, *_ in combinations
    ]
    assert {(each["performance_mode"], each["kv_cache_dtype"]) for each in understood} == {
        ("interactivity", "auto"), ("throughput", "auto"), ("balanced", "fp8")
    }  # fmt: skip
    assert [each["lora_modules"] for each in understood] == [
        [[adapter.name, str(adapter.folder)] for adapter in lora] for *_, lora in combinations
    ]
    assert {(each["max_lora_rank"], each["max_loras"], each["max_cpu_loras"]) for each in understood} == {
        (16, 1, None), (32, 2, 64), (16, 2, 64)
    }  # fmt: skip
    assert set(QUANTIZATIONS) <= set(methods)
    assert tuple(ranks) == RANKS

"""The parsers that we name exist in vLLM, and are those of the model."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from llm_hoster.catalogue.model_parsers import REASONING_PARSERS, RULES, TOOL_PARSERS, parsers_for
from llm_hoster.models_command.servable import KNOWN_TO_VLLM
from tests.conftest import ENGINE_NAME

REPOSITORY = Path(__file__).resolve().parents[2]
LLAMA_31 = {"model_type": "llama", "rope_scaling": {"rope_type": "llama3"}}


@pytest.fixture(scope="module")
def packages(prefix: Path) -> Path:
    found = list((prefix / "engine" / ENGINE_NAME).glob("lib/python3*/site-packages"))
    assert found, f"{prefix} holds no engine {ENGINE_NAME}. Run: make install"
    return found[0]


def registered(file: Path, variable: str) -> set[str]:
    """Read the keys of a table out of the source: importing vLLM takes ten seconds."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == variable:
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{file}: no table {variable}")


def model_types(packages: Path) -> set[str]:
    """Give the kinds of models that transformers or vLLM have code for."""
    pair = re.compile(r'^\s*\("([^"]+)", "\w+Config"\)', re.MULTILINE)
    known = set(pair.findall((packages / "transformers/models/auto/auto_mappings.py").read_text()))
    assert len(known) > 300
    registry = (packages / "vllm/transformers_utils/config.py").read_text()
    table = registry[registry.index("_CONFIG_REGISTRY") : registry.index("_SPECULATIVE_DECODING_CONFIGS")]
    return known | set(re.findall(r'"?([\w-]+)"?\s*[=:]\s*"\w+Config"', table))


def test_the_names_are_those_of_vllm(packages: Path) -> None:
    assert registered(packages / "vllm/tool_parsers/__init__.py", "_TOOL_PARSERS_TO_REGISTER") == TOOL_PARSERS
    reasoning = registered(packages / "vllm/reasoning/__init__.py", "_REASONING_PARSERS_TO_REGISTER")
    assert reasoning == REASONING_PARSERS


def test_every_rule_names_parsers_and_kinds_of_models_that_exist(packages: Path) -> None:
    known = model_types(packages)
    for rule in RULES:
        assert rule.tool in TOOL_PARSERS | {""}, rule
        assert rule.reasoning in REASONING_PARSERS | {""}, rule
        assert set(rule.model_types.split()) <= known, rule


def test_models_whose_own_code_is_not_needed_have_code_in_the_engine(packages: Path) -> None:
    assert KNOWN_TO_VLLM - model_types(packages) == set()


def shipped() -> list[dict[str, object]]:
    models: list[dict[str, object]] = yaml.safe_load((REPOSITORY / "config" / "models.yml").read_text())["models"]
    return models


@pytest.mark.parametrize("entry", shipped(), ids=lambda entry: entry["name"])
def test_the_shipped_models_have_the_parsers_that_we_would_name(entry: dict[str, object]) -> None:
    config = json.loads((REPOSITORY / "config" / str(entry["config"])).read_text())["config"]
    assert parsers_for(config, name=str(entry["source"])) == entry.get("args", [])


@pytest.mark.parametrize(
    ("config", "name", "tool", "reasoning"),
    [
        (LLAMA_31, "meta-llama/Llama-3.3-70B-Instruct", "llama3_json", ""),
        (LLAMA_31, "", "llama3_json", ""),
        (LLAMA_31, "nvidia/Llama-3.1-Nemotron-70B-Instruct-HF", "", ""),
        (LLAMA_31, "NousResearch/Hermes-3-Llama-3.1-8B", "hermes", ""),
        (LLAMA_31, "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "", "deepseek_r1"),
        ({"model_type": "llama"}, "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "", ""),
        ({"model_type": "qwen3"}, "/models/mine", "hermes", ""),
        ({"model_type": "qwen3"}, "Qwen/Qwen3-4B", "hermes", "qwen3"),
        ({"model_type": "qwen3"}, "Qwen/Qwen3-4B-Instruct-2507", "hermes", ""),
        ({"model_type": "qwen3"}, "Qwen/Qwen3-4B-Thinking-2507", "hermes", "qwen3"),
        ({"model_type": "qwen3"}, "Qwen/Qwen3-4B-Base", "", ""),
        ({"model_type": "qwen3"}, "Qwen/Qwen3-Embedding-0.6B", "", ""),
        ({"model_type": "qwen3"}, "/c/hub/models--Qwen--Qwen3-8B/snapshots/abc", "hermes", "qwen3"),
        ({"model_type": "qwen3_moe"}, "Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3_coder", ""),
        ({"model_type": "qwen2"}, "Qwen/QwQ-32B", "hermes", "deepseek_r1"),
        ({"model_type": "mistral"}, "mistralai/Mistral-7B-Instruct-v0.2", "", ""),
        ({"model_type": "mistral"}, "mistralai/Mistral-7B-Instruct-v0.3", "mistral", ""),
        ({"model_type": "mistral"}, "HuggingFaceH4/zephyr-7b-beta", "", ""),
        ({"model_type": "mistral3"}, "mistralai/Magistral-Small-2509", "mistral", "mistral"),
        ({"model_type": "gemma4"}, "google/gemma-4-26B-A4B", "", ""),
        ({"model_type": "gemma4"}, "google/gemma-4-26B-A4B-it", "gemma4", "gemma4"),
        ({"model_type": "deepseek_v3"}, "deepseek-ai/DeepSeek-V3.1", "deepseek_v31", "deepseek_v3"),
        ({"model_type": "phi3"}, "microsoft/Phi-4-mini-instruct", "phi4_mini_json", ""),
        ({}, "", "", ""),
        ({"model_type": ["list"], "rope_scaling": "text"}, "x" * 100000, "", ""),
        ({"model_type": None, "rope_scaling": {"rope_type": 1}}, "\n'\"", "", ""),
    ],
)
def test_a_model_gets_its_own_parsers_and_in_doubt_none(config, name: str, tool: str, reasoning: str) -> None:
    expected = ["--enable-auto-tool-choice", "--tool-call-parser", tool] if tool else []
    expected += ["--reasoning-parser", reasoning] if reasoning else []
    assert parsers_for(config, name=name) == expected

"""
vLLM itself judges the memory arithmetic on the real models of config/configs, one GPU and eight.

It builds its own classes without weights, as each GPU of a job would see them. `pytest -s` prints both sides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.fit.architecture import Architecture, read_architecture
from llm_hoster.fit.fit import Gpu, Wish, judge
from llm_hoster.fit.kv_cache import lay_out, make_pool
from llm_hoster.fit.weights import count_weights, stages_of
from tests.conftest import REPOSITORY
from tests.fit.judge.program import run_program

pytestmark = pytest.mark.engine

CPU = Gpu(memory_gib=0.0, accelerator="cpu", compute_capability=None, is_slice=False)
PLAN = {"available_bytes": 60 * 2**30, "max_model_len": 8192, "max_num_batched_tokens": 8192}
# Routers that vLLM holds in 32 bits, a few scales of FP8.
TOLERANCE = 0.005
ONE_GPU, TWO_NODES_OF_FOUR, THREE_NODES_OF_TWO = (1, 1), (4, 2), (2, 3)

# vLLM's CPU build lacks what these need; those of their families that it can build are compared.
NOT_BUILT = {
    "baai--bge-m3": "no KV cache",
    "deepseek-ai--deepseek-v3.2": "sparse attention",
    "deepseek-ai--deepseek-v4-flash": "kernels for GPUs",
    "moonshotai--kimi-linear-48b-a3b-instruct": "MLA without prefix caching",
    "nvidia--gemma-4-26b-a4b-nvfp4": "NVFP4",
    "nvidia--gemma-4-31b-it-nvfp4": "NVFP4",
    "nvidia--llama-3_3-nemotron-super-49b-v1": "code of its own",
    "nvidia--minimax-m2.5-nvfp4": "NVFP4",
    "nvidia--nvidia-nemotron-3-nano-30b-a3b-bf16": "experts without a gate",
    "qwen--qwen2.5-vl-7b-instruct": "torchvision",
    "qwen--qwen3.5-122b-a10b": "torchvision",
    "qwen--qwen3.5-27b": "torchvision",
    "qwen--qwen3.5-35b-a3b": "torchvision",
    "qwen--qwen3.5-397b-a17b": "torchvision",
    "zai-org--glm-5-fp8": "sparse attention",
    "zai-org--glm-5.1": "sparse attention",
}
# vLLM refuses to divide these by four, or into two stages, and so must we.
REFUSED = {"microsoft--phi-4": "kv_heads"}
# The part of a model with eyes that reads and writes, as a class that vLLM builds without its image processor.
TEXT_CLASSES = {
    "Gemma3ForConditionalGeneration": "Gemma3ForCausalLM",
    "Gemma4ForConditionalGeneration": "Gemma4ForCausalLM",
    "Llama4ForConditionalGeneration": "Llama4ForCausalLM",
    "Mistral3ForConditionalGeneration": "MistralForCausalLM",
}


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    (name,) = config["architectures"]
    if name not in TEXT_CLASSES or "text_config" not in config:
        return config
    dtype = {"dtype": config.get("dtype", config.get("torch_dtype"))}
    return dtype | config["text_config"] | {"architectures": [TEXT_CLASSES[name]]}


def read_configs() -> dict[str, dict[str, Any]]:
    paths = sorted((REPOSITORY / "config" / "configs").glob("*.json"))
    return {path.stem: text_config(json.loads(path.read_text())["config"]) for path in paths}


CONFIGS = read_configs()
BUILT = sorted(CONFIGS.keys() - NOT_BUILT.keys())
# Of each class the first that can be divided so, and one with a second table of embeddings.
FIRST = {CONFIGS[name]["architectures"][0]: name for name in reversed(BUILT) if name not in REFUSED}
DIVIDED = sorted({*FIRST.values(), "google--gemma-4-e4b-it"})
CASES = [
    *((name, ONE_GPU) for name in BUILT),
    *((name, TWO_NODES_OF_FOUR) for name in [*DIVIDED, *REFUSED]),
    # Layers that cannot be divided evenly.
    ("meta-llama--llama-3.1-8b-instruct", THREE_NODES_OF_TWO),
]
CASE_NAMES = [f"{name} {tensor}x{pipeline}" for name, (tensor, pipeline) in CASES]


@dataclass(frozen=True)
class Comparison:
    """Bytes of each stage's GPUs, and conversations at once: vLLM's and ours."""

    name: str
    answer: dict[str, Any]
    weights: tuple[int, ...]
    concurrency: float

    @property
    def vllm_weights(self) -> tuple[int, ...]:
        return tuple(stage["bytes"] for stage in self.answer["stages"])

    def __str__(self) -> str:
        if "error" in self.answer:
            return f"{self.name:54} vLLM: {self.answer['error'][:60]}"
        sizes = f"{max(self.vllm_weights):19,}{max(self.weights):19,}"
        return f"{self.name:54}{sizes}{self.answer['concurrency']:10.3f}{self.concurrency:10.3f}"


def arguments(config: dict[str, Any], layout: tuple[int, int]) -> dict[str, Any]:
    chosen: dict[str, Any] = {"tensor_parallel_size": layout[0], "pipeline_parallel_size": layout[1]}
    if "kv_lora_rank" in config:
        # With AMX instructions vLLM has another kernel with larger blocks.
        chosen["attention_backend"] = "CPU_MLA"
    if config["model_type"] == "qwen3_next":
        # On some CPUs vLLM keeps the state in 32 bits, other than on a GPU.
        chosen["mamba_ssm_cache_dtype"] = "bfloat16"
    return chosen


@pytest.fixture(scope="module")
def comparisons(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Comparison]]:
    folder = tmp_path_factory.mktemp("sizes")
    cases = {
        case: {"config": CONFIGS[name], "arguments": arguments(CONFIGS[name], layout), "plan": PLAN}
        for case, (name, layout) in zip(CASE_NAMES, CASES, strict=True)
    }
    (folder / "cases.json").write_text(json.dumps(cases))
    run_program(prefix, "real_sizes.py", folder)
    answers = json.loads((folder / "answers.json").read_text())
    found = {
        case: compare(case, read_architecture(CONFIGS[name]), layout, answers[case])
        for case, (name, layout) in zip(CASE_NAMES, CASES, strict=True)
    }
    yield found
    print(f"\n{'model, tensor x pipeline parallel':54}{'bytes: vLLM':>19}{'ours':>19}{'at once':>10}{'ours':>10}")
    print("\n".join(map(str, found.values())))


def compare(case: str, architecture: Architecture, layout: tuple[int, int], answer: dict[str, Any]) -> Comparison:
    tensor_parallel, pipeline_parallel = layout
    stages = stages_of(len(architecture.layers), pipeline_parallel)
    weights = count_weights(architecture, stages, tensor_parallel, padding=CPU.expert_padding()).per_stage
    loaded = tuple(
        size - made_later(architecture, stage, tensor_parallel) for size, stage in zip(weights, stages, strict=True)
    )
    in_flight = PLAN["max_num_batched_tokens"] * pipeline_parallel
    bytes_per_element = 1 if architecture.checkpoint.has_fp8_cache else 2
    groups = lay_out(architecture.layers, tensor_parallel, CPU.accelerator, bytes_per_element, 2)
    pool = make_pool(groups, stages, [PLAN["available_bytes"]] * pipeline_parallel, in_flight)
    return Comparison(case, answer, loaded, pool.blocks / pool.blocks_for(PLAN["max_model_len"]))


def made_later(architecture: Architecture, stage: range, tensor_parallel: int) -> int:
    """Bytes of MLA's matrices that vLLM makes of others only after it has loaded them."""
    parameters = [each for layer in stage for each in architecture.layers[layer].parameters]
    return sum(each.elements * 2 // tensor_parallel for each in parameters if each.name.endswith("w_uk_uv"))


@pytest.mark.parametrize("case", [case for case, (name, layout) in zip(CASE_NAMES, CASES, strict=True)
                                  if layout == ONE_GPU or name not in REFUSED])  # fmt: skip
def test_weights_and_kv_cache_of_a_real_model(comparisons: dict[str, Comparison], case: str) -> None:
    comparison = comparisons[case]
    assert "error" not in comparison.answer, comparison.answer
    assert comparison.weights == pytest.approx(comparison.vllm_weights, rel=TOLERANCE)
    assert comparison.concurrency == pytest.approx(comparison.answer["concurrency"]), comparison.answer["groups"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_vllm_cannot_divide_is_refused(comparisons: dict[str, Comparison], name: str) -> None:
    assert "error" in comparisons[f"{name} 4x2"].answer
    gpu = Gpu(memory_gib=79.1, accelerator="cuda", compute_capability=9.0, is_slice=False)
    refusal = judge(read_architecture(CONFIGS[name]), gpu, Wish(num_gpus=8, nodes=2)).refusal
    assert refusal is not None
    assert refusal.kind == REFUSED[name]

"""
vLLM itself judges the memory arithmetic, on tiny models of many families that it loads on this CPU.

The checkpoint size and the KV cache size in its start-up log are compared with what we work out from config.json
alone. `pytest -s` prints both sides, model by model. The programs in judge/ are run by the engine's own Python. All is
exact where no tolerance is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.fit.architecture import Architecture, read_architecture
from llm_hoster.fit.fit import Fit, Gpu, Wish, judge
from llm_hoster.fit.kv_cache import BLOCK_TOKENS, LATENT_BLOCK_TOKENS, Pool, lay_out, make_pool
from llm_hoster.fit.safetensors import weights_bytes
from llm_hoster.fit.weights import count_weights, published_bytes, stages_of
from tests.fit.judge.model_configs import MODELS
from tests.fit.judge.program import run_program

pytestmark = pytest.mark.engine

MIB, GIB = 2**20, 2**30
MAX_MODEL_LEN = 8192
AVAILABLE_BYTES = 64 * MIB
BATCHED_TOKENS = 2048
# The rest of what vLLM allocates beside matrices and vectors: A_log in 32 bits, biases that a kernel wants.
LOADED_TOLERANCE = 0.005

# vLLM's CPU build cannot start these (its image processor, its MLA without prefix caching); their files are compared.
NOT_LOADED = {"qwen3-5", "kimi-linear"}
# On some CPUs vLLM keeps the state of these in 32 bits, other than on a GPU.
OTHER_STATE_ON_CPU = {"granite-hybrid", "jamba"}
LOADED = sorted(MODELS.keys() - NOT_LOADED)
WITH_CACHE = sorted(MODELS.keys() - NOT_LOADED - OTHER_STATE_ON_CPU)
ARGUMENTS = {
    "qwen3-next": {"mamba_ssm_cache_dtype": "bfloat16"},
    # With AMX instructions vLLM has another kernel with larger blocks.
    "deepseek-v2": {"attention_backend": "CPU_MLA"},
    "deepseek-v3": {"attention_backend": "CPU_MLA"},
    "glm4-moe-lite": {"attention_backend": "CPU_MLA"},
}
# From too little memory for one long conversation to a large GPU's: bytes, tokens in flight, accelerator.
POOLS = [
    (3 * MIB, 2048, "cuda"),
    (20 * MIB + 12345, 2048, "cpu"),
    (900 * MIB, 16384, "cuda"),
    (40 * GIB, 8192, "cpu"),
]
GPUS = [
    Gpu(memory_gib=15.77, accelerator="cuda", compute_capability=8.0, is_slice=True),
    Gpu(memory_gib=79.1, accelerator="cuda", compute_capability=9.0, is_slice=False),
]


@dataclass(frozen=True)
class TinyModel:
    """What vLLM says of a model, and what we do."""

    folder: Path
    architecture: Architecture
    answer: dict[str, Any]

    def pool(self, available_bytes: int, in_flight: int, accelerator: str) -> Pool:
        layers = self.architecture.layers
        groups = lay_out(layers, 1, accelerator, 2, 2)
        return make_pool(groups, stages_of(len(layers), 1), [available_bytes], in_flight)

    def fit(self, gpu: Gpu) -> Fit:
        return judge(self.architecture, gpu, Wish(), weights_bytes=weights_bytes(self.folder))


def block_tokens(architecture: Architecture, accelerator: str) -> int:
    is_latent = any(cache.kind == "latent" for layer in architecture.layers for cache in layer.caches)
    return (LATENT_BLOCK_TOKENS if is_latent else BLOCK_TOKENS)[accelerator]


def is_recurrent(architecture: Architecture) -> bool:
    return any(cache.kind == "state" for layer in architecture.layers for cache in layer.caches)


def plans(architecture: Architecture) -> list[dict[str, int]]:
    """The questions for vLLM beside its log line: its own functions answer them for GPUs that are not here."""
    questions = [
        {
            "available_bytes": available,
            "max_model_len": architecture.native_max_model_len,
            "max_in_flight_tokens": in_flight,
            "block_size": block_tokens(architecture, accelerator),
        }
        for available, in_flight, accelerator in POOLS
    ]
    for gpu in GPUS:
        fit = judge(architecture, gpu, Wish())
        assert fit.pool is not None
        questions.append(
            {
                "available_bytes": fit.kv_cache_bytes_available,
                "max_model_len": fit.max_model_len,
                "max_in_flight_tokens": fit.pool.in_flight,
                "block_size": block_tokens(architecture, gpu.accelerator),
            }
        )
    return questions


@pytest.fixture(scope="module")
def tiny_models(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TinyModel]]:
    folder = tmp_path_factory.mktemp("models")
    run_program(prefix, "tiny_models.py", folder)
    architectures = {
        name: read_architecture(json.loads((folder / name / "config.json").read_text())) for name in MODELS
    }
    cases = {
        name: {
            "arguments": {"max_model_len": MAX_MODEL_LEN, "kv_cache_memory_bytes": AVAILABLE_BYTES}
            | ARGUMENTS.get(name, {}),
            "plans": plans(architectures[name]),
        }
        for name in LOADED
    }
    (folder / "cases.json").write_text(json.dumps(cases))
    run_program(prefix, "vllm_judge.py", folder)
    answers = json.loads((folder / "answers.json").read_text())
    models = {name: TinyModel(folder / name, architectures[name], answers.get(name, {})) for name in MODELS}
    yield models
    print_table(models)


def print_table(models: dict[str, TinyModel]) -> None:
    print(f"\n{'model':16}{'bytes: files':>14}{'config':>12}{'vLLM loads':>12}{'KV tokens: vLLM':>18}{'ours':>10}")
    for name, model in models.items():
        if name in WITH_CACHE and "error" not in model.answer:
            pool = model.pool(AVAILABLE_BYTES, model.answer["max_in_flight_tokens"], "cpu")
            tokens = int(Fraction(pool.blocks, pool.blocks_for(MAX_MODEL_LEN)) * MAX_MODEL_LEN)
            cache = f"{model.answer['tokens']:18,}{tokens:10,}"
        else:
            cache = ""
        loaded = model.answer.get("loaded_bytes", "-")
        print(f"{name:16}{weights_bytes(model.folder):14}{published_bytes(model.architecture):12}{loaded:>12}{cache}")


def header_bytes(folder: Path) -> int:
    """What a safetensors file holds beside its tensors: eight bytes and as many as they say."""
    return sum(8 + int.from_bytes(path.read_bytes()[:8], "little") for path in folder.glob("*.safetensors"))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_config_alone_gives_the_bytes_in_the_headers(tiny_models: dict[str, TinyModel], name: str) -> None:
    model = tiny_models[name]
    assert published_bytes(model.architecture) == weights_bytes(model.folder)
    assert not model.architecture.is_estimate


@pytest.mark.parametrize("name", LOADED)
def test_vllm_reads_a_checkpoint_of_this_size(tiny_models: dict[str, TinyModel], name: str) -> None:
    model = tiny_models[name]
    assert "error" not in model.answer, model.answer
    assert model.answer["checkpoint_bytes"] == weights_bytes(model.folder) + header_bytes(model.folder)


@pytest.mark.parametrize("name", LOADED)
def test_vllm_holds_as_many_bytes_in_memory(tiny_models: dict[str, TinyModel], name: str) -> None:
    model = tiny_models[name]
    layers = model.architecture.layers
    counted = count_weights(model.architecture, stages_of(len(layers), 1), 1).in_memory - made_later(model, 1)
    assert counted == pytest.approx(model.answer["loaded_bytes"], rel=LOADED_TOLERANCE)


def made_later(model: TinyModel, tensor_parallel: int) -> int:
    """Bytes of MLA's matrices that vLLM makes of others only after it has loaded them."""
    parameters = [each for layer in model.architecture.layers for each in layer.parameters]
    return sum(each.elements * 2 // tensor_parallel for each in parameters if each.name.endswith("w_uk_uv"))


@pytest.mark.parametrize("name", WITH_CACHE)
def test_the_log_line_of_the_kv_cache(tiny_models: dict[str, TinyModel], name: str) -> None:
    model, answer = tiny_models[name], tiny_models[name].answer
    assert "error" not in answer, answer
    assert answer["max_in_flight_tokens"] in (BATCHED_TOKENS, MAX_MODEL_LEN)
    pool = model.pool(AVAILABLE_BYTES, answer["max_in_flight_tokens"], "cpu")
    concurrency = Fraction(pool.blocks, pool.blocks_for(MAX_MODEL_LEN))
    assert pool.blocks == answer["num_blocks"], answer["groups"]
    assert float(concurrency) == pytest.approx(answer["concurrency"])
    line = f"CPU KV cache size: {int(concurrency * MAX_MODEL_LEN):,} tokens, Maximum concurrency for"
    assert answer["kv_cache_line"].startswith(line)


@pytest.mark.parametrize("name", WITH_CACHE)
def test_other_amounts_of_memory(tiny_models: dict[str, TinyModel], name: str) -> None:
    model = tiny_models[name]
    for (available, in_flight, accelerator), answer in zip(POOLS, model.answer["capacities"], strict=False):
        # The block size of a recurrent model follows from its state, on a CPU in other steps than on a GPU.
        pool = model.pool(available, in_flight, "cpu" if is_recurrent(model.architecture) else accelerator)
        length = answer["max_model_len"]
        assert pool.blocks / pool.blocks_for(length) == pytest.approx(answer["concurrency"]), answer
        assert pool.longest(length) == answer["longest"], answer


@pytest.mark.parametrize("name", sorted(set(WITH_CACHE) - {"qwen3-next", "nemotron-h", "lfm2"}))
def test_people_and_context_of_a_gpu(tiny_models: dict[str, TinyModel], name: str) -> None:
    model = tiny_models[name]
    for gpu, answer in zip(GPUS, model.answer["capacities"][len(POOLS) :], strict=True):
        fit = model.fit(gpu)
        assert fit.kv_cache_bytes_available == answer["available_bytes"]
        assert fit.max_model_len == answer["longest"]
        assert fit.people_at(answer["max_model_len"]) == int(answer["concurrency"])

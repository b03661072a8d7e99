"""Weights and caches of real models, from the config.json files in config/configs; and files nobody should believe."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.architecture import Architecture, read_architecture
from llm_hoster.fit.fit import Gpu, Wish, judge
from llm_hoster.fit.weights import count_weights, published_bytes, stages_of
from tests.conftest import REPOSITORY
from tests.fit.hand_counts import HAND_COUNTS

Config = dict[str, Any]

CONFIGS = {path.stem: json.loads(path.read_text()) for path in (REPOSITORY / "config" / "configs").glob("*.json")}
COUNTS = json.loads((Path(__file__).parent / "parameter_counts.json").read_text())["counts"]
LARGE = Gpu(memory_gib=2000, accelerator="cuda", compute_capability=9.0, is_slice=False)
SMALL = Gpu(memory_gib=15.77, accelerator="cuda", compute_capability=7.0, is_slice=False)
# Encoders and DeepSeek V4's compressed attention are counted by the formula of a Llama.
ESTIMATES = {"baai--bge-m3", "deepseek-ai--deepseek-v4-flash"}
# Its files hold no lm_head, which its config.json asks for.
WITHOUT_HEAD = "qwen--qwen3-embedding-8b"
# Scales of FP8 that Qwen publishes in 16 bits, and MiniMax's routers in 32: a few in ten thousand.
PUBLISHED_TOLERANCE = 0.0005
LLAMA: Config = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}
# 2 x 320 x 64, and four layers of queries, outputs, keys, values, three matrices and two norms, and one norm.
LLAMA_ELEMENTS = 2 * 320 * 64 + 4 * (2 * 64 * 64 + 2 * 16 * 64 + 3 * 160 * 64 + 2 * 64) + 64


def read(name: str) -> Architecture:
    return read_architecture(CONFIGS[name]["config"])


def elements(architecture: Architecture) -> int:
    """All that files hold, without the layers that predict several tokens at once."""
    parts = [architecture.first, architecture.last, architecture.tower]
    parts += [layer.parameters for layer in architecture.layers]
    return sum(parameter.elements for part in parts for parameter in part if parameter.in_files)


def llama(**values: object) -> Config:
    return {**LLAMA, **values}


@pytest.mark.parametrize("name", HAND_COUNTS)
def test_weights_and_cache_are_those_worked_out_by_hand(name: str) -> None:
    architecture, expected = read(name), HAND_COUNTS[name]
    assert published_bytes(architecture) == expected.weights
    assert judge(architecture, LARGE, Wish()).kv_cache_bytes_per_token == expected.kv_per_token
    assert not architecture.is_estimate


@pytest.mark.parametrize("name", COUNTS)
def test_as_many_parameters_as_the_models_own_class_has(name: str) -> None:
    parameters, buffers = COUNTS[name]
    assert parameters <= elements(read(name)) <= parameters + buffers


def test_the_sizes_that_publishers_state_hold() -> None:
    stated = {name: each["weights_bytes"] for name, each in CONFIGS.items() if each["weights_bytes"]}
    assert len(stated) >= 12
    for name in stated.keys() - {WITHOUT_HEAD}:
        assert published_bytes(read(name)) == pytest.approx(stated[name], rel=PUBLISHED_TOLERANCE), name
    head = 2 * 151665 * 4096
    assert published_bytes(read(WITHOUT_HEAD)) == stated[WITHOUT_HEAD] + head


@pytest.mark.parametrize("name", CONFIGS)
def test_every_model_of_the_collection_is_read(name: str) -> None:
    architecture = read(name)
    assert architecture.is_estimate == (name in ESTIMATES)
    assert 512 <= architecture.native_max_model_len <= 2**24
    fit = judge(architecture, LARGE, Wish())
    assert fit.fits, fit.refusal
    assert fit.is_estimate == architecture.is_estimate
    assert fit.max_model_len == architecture.native_max_model_len
    assert fit.people_at(2048) >= 1


def test_all_the_layers_of_all_gpus_are_all_the_weights() -> None:
    """Pipeline stages hold each layer once; tensor parallelism divides all but norms and routers."""
    architecture = read("qwen--qwen3-8b")
    whole = count_weights(architecture, stages_of(36, 1), 1)
    assert whole.per_stage == (whole.in_memory,) == (whole.in_files,)
    assert sum(count_weights(architecture, stages_of(36, 5), 1).per_stage) == whole.in_memory
    norms = 2 * (36 * (2 * 4096 + 2 * 128) + 4096)
    (quarter,) = count_weights(architecture, stages_of(36, 1), 4).per_stage
    assert quarter == (whole.in_memory - norms) // 4 + norms


def test_key_value_heads_are_copied_when_there_are_more_gpus() -> None:
    """Qwen2.5 7B has 4 and 28 heads: on 28 GPUs each has a whole key-value head."""
    architecture = read("qwen--qwen2.5-7b-instruct")
    (size,) = count_weights(architecture, stages_of(28, 1), 28).per_stage
    layer = 2 * 128 * 3584 + 2 * 128 * 3584 + (128 + 2 * 128) + 3 * (-(-18944 // 28)) * 3584 + 2 * 3584
    # The vocabulary is rounded up to whole rows for each GPU.
    assert size == 2 * (2 * -(-152064 // 28) * 3584 + 28 * layer + 3584)


def test_tied_embeddings_lie_on_the_first_and_the_last_stage() -> None:
    architecture = read("meta-llama--llama-3.2-1b-instruct")
    first, last = count_weights(architecture, stages_of(16, 2), 1).per_stage
    embeddings = 2 * 128256 * 2048
    assert first + last == count_weights(architecture, stages_of(16, 1), 1).in_memory + embeddings
    assert last == first + 2 * 2048


def test_some_classes_of_vllm_keep_more_than_they_need_on_every_stage() -> None:
    """Mixtral embeddings and lm_head, Qwen3.5 embeddings."""
    for name, layers, words in (
        ("mistralai--mixtral-8x7b-v0.1", 32, 2 * 2 * 32000 * 4096),
        ("qwen--qwen3.5-27b", 64, 2 * 248320 * 5120),
    ):
        architecture = read(name)
        stages = count_weights(architecture, stages_of(layers, 4), 1).per_stage
        assert sum(stages) == count_weights(architecture, stages_of(layers, 1), 1).in_memory + 3 * words


@pytest.mark.parametrize(
    ("layers", "nodes", "counts"),
    # As vLLM deals them out: what is left over goes to the stages before the last, the last but one first.
    [(32, 1, [32]), (32, 2, [16, 16]), (61, 2, [31, 30]), (61, 4, [15, 15, 16, 15]), (62, 4, [15, 16, 16, 15])],
)
def test_layers_of_pipeline_stages(layers: int, nodes: int, counts: list[int]) -> None:
    stages = stages_of(layers, nodes)
    assert [len(stage) for stage in stages] == counts
    assert [layer for stage in stages for layer in stage] == list(range(layers))


def test_exact_sizes_scale_what_is_counted() -> None:
    """A fine-tune with 2 % more in its files: all its parts are taken to be 2 % larger."""
    architecture = read("qwen--qwen3-8b")
    stages = stages_of(36, 2)
    counted = count_weights(architecture, stages, 1)
    scaled = count_weights(architecture, stages, 1, published=counted.in_files * 102 // 100)
    assert scaled.in_files == counted.in_files * 102 // 100
    for before, after in zip(counted.per_stage, scaled.per_stage, strict=True):
        assert after == pytest.approx(before * 1.02, rel=1e-6)


def test_layers_that_predict_several_tokens_are_not_loaded() -> None:
    architecture = read("zai-org--glm-4.5-air")
    extra = 2 * sum(parameter.elements for parameter in architecture.extra) + 2 * 128
    stages = stages_of(46, 1)
    counted = count_weights(architecture, stages, 1)
    assert counted.in_files - counted.in_memory == pytest.approx(extra, rel=1e-4)
    without = count_weights(architecture, stages, 1, published=counted.in_files - extra)
    assert without.in_memory == pytest.approx(counted.in_memory, rel=1e-6)
    assert count_weights(architecture, stages, 1, published=counted.in_files).in_memory == counted.in_memory


def test_an_unknown_model_with_the_fields_of_a_llama_is_an_estimate() -> None:
    known, unknown = read_architecture(LLAMA), read_architecture(llama(model_type="brand_new"))
    assert (known.is_estimate, unknown.is_estimate) == (False, True)
    assert elements(known) == elements(unknown) == LLAMA_ELEMENTS
    assert judge(unknown, LARGE, Wish()).is_estimate


@pytest.mark.parametrize("field", ["hidden_size", "num_attention_heads", "vocab_size", "intermediate_size"])
def test_a_model_without_the_fields_of_a_llama_is_refused(field: str) -> None:
    config = {name: value for name, value in LLAMA.items() if name != field}
    with pytest.raises(ArchitectureError, match=field):
        read_architecture(config)
    with pytest.raises(ArchitectureError, match=r"config\.json"):
        read_architecture({})


def test_the_language_model_is_found_inside_its_wrapping() -> None:
    text = {name: value for name, value in LLAMA.items() if name != "architectures"}
    wrapped = {"architectures": ["ManyEyesForConditionalGeneration"], "model_type": "many", "text_config": text}
    for config in (wrapped, {"model_type": "omni", "thinker_config": wrapped}):
        architecture = read_architecture(config)
        assert elements(architecture) == LLAMA_ELEMENTS
    assert read_architecture(wrapped).name == "ManyEyesForConditionalGeneration"


def test_a_width_that_is_stated_too_large() -> None:
    """LFM2: two thirds of 600 are 400, rounded up to 512."""
    fields = {"model_type": "lfm2", "layer_types": ["full_attention"] * 4, "block_ff_dim": 600}
    architecture = read_architecture(llama(**fields))
    norms = 4 * 2 * 8
    assert elements(architecture) == LLAMA_ELEMENTS - 320 * 64 + 4 * 3 * (512 - 160) * 64 + norms


def test_tied_embeddings_are_stored_once() -> None:
    assert elements(read_architecture(llama(tie_word_embeddings=True))) == LLAMA_ELEMENTS - 320 * 64


def test_an_embedding_model_has_no_matrix_to_choose_words_by() -> None:
    assert elements(read_architecture(llama(architectures=["LlamaModel"]))) == LLAMA_ELEMENTS - 320 * 64


def test_the_vocabulary_is_padded_in_memory() -> None:
    """To 384 words, so that each of three GPUs has 128."""
    architecture = read_architecture(llama(vocab_size=321, num_attention_heads=9, num_key_value_heads=3, head_dim=8))
    (before,) = count_weights(architecture, stages_of(4, 1), 3).per_stage
    (after,) = count_weights(replace(architecture, first=(), last=()), stages_of(4, 1), 3).per_stage
    assert before - after == 2 * (2 * 128 * 64 + 64)


def test_layers_that_a_search_has_made_unequal() -> None:
    """One layer whole, one without attention, one without a network; 2/3 x 64 x 9 = 384 is rounded up to 512."""
    without: Config = {"no_op": True, "ffn_mult": 9.0}
    blocks = [
        {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 9.0}},
        {"attention": without, "ffn": {"ffn_mult": 6.0}},
        {"attention": {"n_heads_in_group": 8}, "ffn": without},
    ]
    config = llama(model_type="nemotron-nas", num_hidden_layers=3, block_configs=blocks)
    config["intermediate_size"] = config["num_key_value_heads"] = None
    architecture = read_architecture(config)
    first = 2 * 64 * 64 + 2 * 16 * 64 + 3 * 512 * 64 + 2 * 64
    second = 3 * 256 * 64 + 64
    third = 2 * 64 * 64 + 2 * 8 * 64 + 64
    assert elements(architecture) == 2 * 320 * 64 + first + second + third + 64
    assert [len(layer.caches) for layer in architecture.layers] == [1, 0, 1]
    config["block_configs"] = blocks[:2]
    with pytest.raises(ArchitectureError, match="an entry for each layer"):
        read_architecture(config)


def test_weights_of_32_bits_are_halved_when_loaded() -> None:
    architecture = read_architecture(llama(torch_dtype="float32"))
    weights = count_weights(architecture, stages_of(4, 1), 1)
    assert (weights.in_files, weights.in_memory) == (4 * LLAMA_ELEMENTS, 2 * LLAMA_ELEMENTS)


LINEAR = 4 * (2 * 64 * 64 + 2 * 16 * 64 + 3 * 160 * 64)
ROWS = 4 * (64 + 16 + 16 + 64 + 160 + 160 + 64)


@pytest.mark.parametrize(
    ("quantised", "expected"),
    [
        # A byte each, one scale of 4 bytes for each of 28 matrices.
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, LINEAR + 28 * 4),
        # And one for its inputs.
        ({"quant_method": "fp8", "activation_scheme": "static"}, LINEAR + 28 * 8),
        ({"quant_method": "fp8", "weight_block_size": [16, 32]}, LINEAR + LINEAR // 512 * 4),
        # Half a byte, a scale of 16 and a zero of 4 bits for each 32 of a row.
        ({"quant_method": "awq", "bits": 4, "group_size": 32}, LINEAR // 2 + LINEAR // 32 * 5 // 2),
        # And the place of each column.
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 32},
            LINEAR // 2 + LINEAR // 32 * 5 // 2 + 4 * 4 * (6 * 64 + 160),
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "pack-quantized",
                "config_groups": {
                    "group_0": {
                        "targets": ["Linear"],
                        "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32},
                    }
                },
            },
            # The shape of each of 28 matrices takes 16 bytes.
            LINEAR // 2 + LINEAR // 32 * 2 + 28 * 16,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "float-quantized",
                "config_groups": {
                    "group_0": {
                        "targets": ["Linear"],
                        "weights": {"num_bits": 8, "type": "float", "strategy": "channel"},
                        "input_activations": {"num_bits": 8, "type": "float", "dynamic": True},
                    }
                },
            },
            LINEAR + ROWS * 4,
        ),
        # Half a byte, a byte of scale for each 16, and two numbers of 4 bytes for each matrix.
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, LINEAR // 2 + LINEAR // 16 + 28 * 8),
        # Experts only, and there are none.
        ({"quant_method": "mxfp4"}, 2 * LINEAR),
        # Everything is left out, by the several ways of saying so.
        ({"quant_method": "fp8", "modules_to_not_convert": ["layers"]}, 2 * LINEAR),
        ({"quant_method": "fp8", "ignored_layers": ["re:.*self_attn.*", "re:.*mlp.*"]}, 2 * LINEAR),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["model.layers.*"]}, 2 * LINEAR),
        # One of the four layers is.
        ({"quant_method": "fp8", "ignore": ["model.layers.1"]}, (3 * LINEAR + 2 * LINEAR) // 4 + 21 * 4),
    ],
)
def test_bytes_of_quantised_weights(quantised: Config, expected: int) -> None:
    architecture = read_architecture(llama(quantization_config=quantised))
    assert published_bytes(architecture) == expected + 2 * (LLAMA_ELEMENTS - LINEAR)


@pytest.mark.parametrize(
    ("quantised", "words"),
    [
        ({"quant_method": "magic"}, "quant_method: found 'magic', expected one of fp8"),
        ({"quant_method": "modelopt", "quant_algo": "FP1"}, "quant_algo"),
        ({"quant_method": "compressed-tensors"}, "config_groups"),
        ({"quant_method": "fp8", "ignore": ["re:("]}, "a regular expression"),
        ({"quant_method": "fp8", "ignore": ["re:(a+)+$"]}, "at most 3 repetitions"),
        ({"quant_method": "fp8", "ignore": ["re:" + ".*a" * 20]}, "at most 3 repetitions"),
        ({"quant_method": "fp8", "ignore": [7]}, "a list of str"),
        ("fp8", "a group of fields"),
    ],
)
def test_a_quantisation_that_is_not_known_is_refused(quantised: object, words: str) -> None:
    with pytest.raises(ArchitectureError) as fault:
        read_architecture(llama(quantization_config=quantised))
    assert words in str(fault.value)


def test_long_lists_of_modules_take_no_time() -> None:
    names = [f"model.layers.{layer}.part{part}" for layer in range(94) for part in range(43)]
    config = copy.deepcopy(CONFIGS["qwen--qwen3-235b-a22b-fp8"]["config"])
    config["quantization_config"]["modules_to_not_convert"] = names
    begun = time.process_time()
    read_architecture(config)
    assert time.process_time() - begun < 5


JUNK: list[Any] = [None, True, "", "re:(", -1, 0, 7, 2**31 - 1, 2**63, 1e308, math.nan, 0.5, [], {}, ["x"], [[]], [{}]]
HOSTILE = (
    "qwen--qwen3-8b",
    "openai--gpt-oss-20b",
    "qwen--qwen3.5-35b-a3b",
    "google--gemma-4-e2b-it",
    "deepseek-ai--deepseek-v3.2",
    "nvidia--nvidia-nemotron-3-nano-30b-a3b-bf16",
    "mistralai--devstral-small-2-24b-instruct-2512",
)


def fields_of(config: Config, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in config.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from fields_of(value, (*path, name))


def spoilt(config: Config) -> Iterator[Config]:
    for number, path in enumerate(fields_of(config)):
        # Each field gets some of them; together the fields get all.
        for value in JUNK[number % 3 :: 3]:
            copied = copy.deepcopy(config)
            part = copied
            for name in path[:-1]:
                part = part[name]
            part[path[-1]] = value
            yield copied


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_field_holds_it_is_read_or_refused(name: str) -> None:
    read_ones = refused = 0
    for config in spoilt(CONFIGS[name]["config"]):
        try:
            architecture = read_architecture(config)
        except ArchitectureError as fault:
            refused += 1
            assert len(str(fault)) < 700
            continue
        read_ones += 1
        judge(architecture, LARGE, Wish(num_gpus=4, nodes=2)).people_at(1000)
        judge(architecture, SMALL, Wish(quantization="fp8_per_block")).people_at(1000)
    assert refused > 20
    assert read_ones > 20


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"num_hidden_layers": 10**6}, "1 to 1024"),
        ({"hidden_size": "64"}, "hidden_size: found '64', expected a whole number"),
        ({"num_attention_heads": True}, "num_attention_heads: found True, expected a whole number"),
        ({"num_key_value_heads": -2}, "num_key_value_heads: found -2"),
        ({"layer_types": ["full_attention"]}, "an entry for each of the 4 layers"),
        ({"layer_types": ["telepathy"] * 4}, "expected one of full_attention"),
        ({"tie_word_embeddings": "no"}, "true or false"),
    ],
)
def test_a_field_out_of_its_range_is_named(values: Config, words: str) -> None:
    with pytest.raises(ArchitectureError) as fault:
        read_architecture(llama(**values))
    assert words in str(fault.value)

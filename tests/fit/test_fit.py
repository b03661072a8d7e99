"""Whether models fit: sizes worked out by hand, and every reason for a refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from llm_hoster.catalogue.sentences import fill
from llm_hoster.fit.architecture import Architecture, read_architecture
from llm_hoster.fit.fit import QUANTIZATIONS, SENTENCES, SMALLEST_CONTEXT, Gpu, Refusal, Wish, judge
from llm_hoster.fit.overhead import CONTEXT_BYTES
from tests.conftest import REPOSITORY

GIB = 2**30
A100 = Gpu(memory_gib=79.25, accelerator="cuda", compute_capability=8.0, is_slice=False)
A100_40 = replace(A100, memory_gib=39.49)
H100 = replace(A100, memory_gib=79.19, compute_capability=9.0)
B200 = replace(A100, memory_gib=178.3, compute_capability=10.0)
V100 = replace(A100, memory_gib=15.77, compute_capability=7.0)
T4 = replace(A100, memory_gib=14.56, compute_capability=7.5)
SLICE = Gpu(memory_gib=19.5, accelerator="cuda", compute_capability=8.0, is_slice=True)
MI100 = Gpu(memory_gib=31.98, accelerator="rocm", compute_capability=None, is_slice=False)
CPU = Gpu(memory_gib=256, accelerator="cpu", compute_capability=None, is_slice=False)


@cache
def read(name: str) -> Architecture:
    return read_architecture(json.loads((REPOSITORY / "config" / "configs" / f"{name}.json").read_text())["config"])


def sentence(refusal: Refusal) -> str:
    """In words, as they follow the model's name."""
    return fill(SENTENCES[refusal.kind], refusal.values)


def small(**values: Any) -> Architecture:
    """A Llama of four layers: 8 heads of 8, 2 of them for keys and values."""
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": 320,
        "max_position_embeddings": 4096,
        "torch_dtype": "bfloat16",
    }
    return read_architecture(config | values)


def kind_of(architecture: Architecture, gpu: Gpu, wish: Wish) -> str:
    fit = judge(architecture, gpu, wish)
    assert fit.fits == (fit.refusal is None)
    if fit.refusal is None:
        return ""
    assert not fit.fits
    assert fit.people_at(100) == 0
    text = sentence(fit.refusal)
    assert "%{" not in text
    return fit.refusal.kind


def test_a_model_that_fits_with_all_its_numbers() -> None:
    fit = judge(read("qwen--qwen3-8b"), A100, Wish())
    assert fit.fits
    # See hand_counts.py.
    assert fit.weights_bytes == fit.weights_bytes_per_gpu == 16381470720
    assert fit.kv_cache_bytes_per_token == 36 * 2 * 8 * 128 * 2
    share = int(int(79.25 * GIB) * 0.92)
    assert fit.kv_cache_bytes_available == share - fit.weights_bytes_per_gpu - fit.overhead_bytes_per_gpu
    assert fit.native_max_model_len == fit.max_model_len == 40960
    # Blocks of 16 tokens; 5000 tokens take 313 of them.
    blocks = fit.kv_cache_bytes_available // (16 * fit.kv_cache_bytes_per_token)
    assert fit.people_at(5000) == blocks // 313
    assert fit.people_at(0) == 0


def test_the_overhead_part_by_part() -> None:
    """Qwen3 8B on an A100: 256 requests and 2048 tokens."""
    fit = judge(read("qwen--qwen3-8b"), A100, Wish())
    # Three times 12288 in the network and four hidden states for each token; for each request its logits in 16, 16, 32
    # and 32 bits. The latter take more.
    activations = 2048 * (4 * 4096 + 3 * 12288) * 2
    sampling = 256 * 151936 * 12
    assert sampling > activations
    counts = 256 * 151936 * 33 // 8
    graphs = (256 + 36 * 16) * 2**20
    assert fit.overhead_bytes_per_gpu == sampling + counts + graphs + 600 * 2**20
    # Two GPUs talk to each other.
    two = judge(read("qwen--qwen3-8b"), A100, Wish(num_gpus=2))
    assert two.overhead_bytes_per_gpu == fit.overhead_bytes_per_gpu + 500 * 2**20


@pytest.mark.parametrize(
    ("gpu", "requests", "tokens"), [(A100, 256, 2048), (H100, 1024, 8192), (B200, 1024, 16384), (V100, 256, 2048)]
)
def test_the_batch_is_vllms_default_for_the_gpu(gpu: Gpu, requests: int, tokens: int) -> None:
    model = read("qwen--qwen3-0.6b")
    default = judge(model, gpu, Wish())
    assert default == judge(model, gpu, Wish(max_num_seqs=requests, max_num_batched_tokens=tokens))
    assert default != judge(model, gpu, Wish(max_num_seqs=requests // 2, max_num_batched_tokens=tokens))


def test_tensor_parallelism_divides_weights_and_cache() -> None:
    model = read("meta-llama--llama-3.3-70b-instruct")
    alone, four = judge(model, A100, Wish()), judge(model, A100, Wish(num_gpus=4))
    assert (alone.fits, four.fits) == (False, True)
    # All but the norms: 80 layers with two, and the last.
    norms = 2 * (80 * 2 + 1) * 8192
    assert four.weights_bytes_per_gpu == (four.weights_bytes - norms) // 4 + norms
    assert four.weights_bytes == alone.weights_bytes
    assert four.kv_cache_bytes_per_token == 80 * 2 * 2 * 128 * 2
    # More GPUs than key-value heads: each has one of its own.
    sixteen = judge(model, A100, Wish(num_gpus=16))
    assert sixteen.kv_cache_bytes_per_token == 80 * 2 * 1 * 128 * 2


def test_pipeline_stages_have_their_layers() -> None:
    model = read("meta-llama--llama-3.3-70b-instruct")
    fit = judge(model, A100, Wish(num_gpus=8, nodes=2))
    # The last stage has 40 layers, lm_head and the last norm; the first has the embeddings and no norm.
    layer = 2 * 8192 * 8192 + 2 * 1024 * 8192 + 3 * 28672 * 8192
    assert fit.weights_bytes_per_gpu == 2 * (40 * (layer // 4 + 2 * 8192) + 128256 * 8192 // 4 + 8192)
    assert fit.kv_cache_bytes_per_token == 40 * 2 * 2 * 128 * 2


def test_latent_attention_is_kept_by_every_gpu() -> None:
    model = read("deepseek-ai--deepseek-v2-lite")
    assert judge(model, H100, Wish()).kv_cache_bytes_per_token == 27 * 576 * 2
    assert judge(model, H100, Wish(num_gpus=4)).kv_cache_bytes_per_token == 27 * 576 * 2


def test_windows_and_states_take_no_more_for_longer_conversations() -> None:
    """gpt-oss: half of the layers see 128 tokens; Qwen3-Next: three of four keep a state."""
    fit = judge(read("openai--gpt-oss-20b"), H100, Wish())
    needed = [fit.pool.blocks_for(length) for length in (100_000, 116_000)]
    assert needed[1] - needed[0] == 16_000 // 16
    # Of its window at most 127 tokens and two batches of 8192 in flight, in blocks of 16, and one block more.
    window = -(-(127 + 2 * 8192) // 16) + 1
    assert needed[0] == 100_000 // 16 + window
    hybrid = judge(read("qwen--qwen3-next-80b-a3b-thinking"), H100, Wish(num_gpus=4))
    lengths = [hybrid.pool.blocks_for(length) for length in (1, 200_000)]
    # Three groups of states, two blocks each, beside one group that grows.
    tokens = hybrid.pool.groups[0].page.tokens
    assert lengths == [1 + 3 * 2, -(-200_000 // tokens) + 3 * 2]


def test_mamba_keeps_one_state_more() -> None:
    """Nemotron 3: 23 layers with a state in four groups, and 6 with attention in one; three blocks for each group."""
    pool = judge(read("nvidia--nvidia-nemotron-3-nano-30b-a3b-bf16"), H100, Wish()).pool
    assert [len(group.pages) for group in pool.groups] == [6, 6, 6, 5, 6]
    assert pool.blocks_for(1) == 4 * 3 + 1


def test_fp8_halves_the_cache() -> None:
    model = read("qwen--qwen3-8b")
    plain, half = judge(model, A100, Wish()), judge(model, A100, Wish(kv_cache_dtype="fp8"))
    assert half.kv_cache_bytes_per_token * 2 == plain.kv_cache_bytes_per_token
    assert half.people_at(4096) in (2 * plain.people_at(4096), 2 * plain.people_at(4096) + 1)


@pytest.mark.parametrize(
    "quantised",
    [
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_scheme": {"num_bits": 8, "type": "float"}},
        {"quant_method": "modelopt", "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}},
    ],
)
def test_a_checkpoint_may_keep_conversations_in_fp8(quantised: dict[str, Any]) -> None:
    model = small(quantization_config=quantised)
    assert (
        judge(model, A100, Wish()).kv_cache_bytes_per_token * 2 == judge(small(), A100, Wish()).kv_cache_bytes_per_token
    )
    assert kind_of(small(quantization_config=quantised | {"quant_method": "modelopt"}), T4, Wish()) != ""


@pytest.mark.parametrize(
    ("name", "scales"),
    # Of each of four layers with 2 x 64 + 2 x 16 + 2 x 256 + 64 rows, seven matrices: 4 bytes for each scale.
    [("fp8_per_tensor", 7), ("fp8_per_channel", 736), ("fp8_per_block", 1 + 1 + 1 + 1 + 2 + 2 + 2)],
)
def test_conversion_of_linear_layers_only(name: str, scales: int) -> None:
    fit = judge(small(), A100, Wish(quantization=name))
    linear = 4 * (2 * 64 * 64 + 2 * 16 * 64 + 3 * 256 * 64)
    rest = 2 * (2 * 320 * 64 + 4 * 2 * 64 + 64)
    assert fit.weights_bytes == linear + 4 * 4 * scales + rest


def test_conversion_of_experts_only() -> None:
    model = read("qwen--qwen3-30b-a3b")
    plain, converted = judge(model, H100, Wish()), judge(model, H100, Wish(quantization="int8_per_channel_weight_only"))
    experts = 48 * 128 * 3 * 768 * 2048
    # A byte less for each weight, 4 more for each row of the three matrices.
    assert plain.weights_bytes - converted.weights_bytes == experts - 48 * 128 * (2 * 768 + 2048) * 4


def test_exact_sizes_decide() -> None:
    model = read("qwen--qwen3-8b")
    counted, larger = judge(model, A100, Wish()), judge(model, A100, Wish(), weights_bytes=20 * 10**9)
    assert larger.weights_bytes == pytest.approx(20 * 10**9, rel=1e-6)
    assert counted.kv_cache_bytes_available - larger.kv_cache_bytes_available == pytest.approx(
        20 * 10**9 - counted.weights_bytes, rel=1e-6
    )


def test_the_longest_context_is_where_the_memory_ends() -> None:
    model = read("meta-llama--llama-3.3-70b-instruct")
    fit = judge(model, A100, Wish(num_gpus=2))
    # All blocks but one, which vLLM keeps for itself.
    blocks = fit.kv_cache_bytes_available // (16 * fit.kv_cache_bytes_per_token)
    assert fit.max_model_len == (blocks - 1) * 16 < fit.native_max_model_len
    assert fit.people_at(fit.max_model_len) == 1
    assert fit.people_at(fit.max_model_len + 16) == 0
    assert judge(model, A100, Wish(num_gpus=2, max_model_len=fit.max_model_len)).fits
    refused = judge(model, A100, Wish(num_gpus=2, max_model_len=fit.max_model_len + 1))
    assert refused.refusal is not None
    assert refused.refusal.kind == "context"
    # So that a form can offer it.
    assert refused.max_model_len == fit.max_model_len
    assert str(fit.max_model_len) in sentence(refused.refusal)


@pytest.mark.parametrize(
    "name", ["qwen--qwen3-8b", "openai--gpt-oss-20b", "qwen--qwen3.5-27b", "google--gemma-3-27b-it"]
)
def test_more_memory_never_serves_less(name: str) -> None:
    model, before = read(name), (False, 0, 0)
    for memory_gib in range(16, 180, 4):
        # With batches of one size: vLLM's own grow with the GPU.
        wish = Wish(max_num_seqs=256, max_num_batched_tokens=2048)
        fit = judge(model, replace(H100, memory_gib=memory_gib), wish)
        now = (fit.fits, fit.max_model_len, fit.people_at(8192))
        assert now >= before
        assert all(after >= earlier for after, earlier in zip(now, before, strict=True))
        before = now
    assert before[0]


# What is refused, and what is not just beside it.
REFUSALS = {
    "memory": (read("qwen--qwen3-8b"), V100, Wish(), Wish(num_gpus=2)),
    "context": (read("qwen--qwen3-8b"), A100_40, Wish(max_model_len=40960, gpu_memory_utilization=0.55), Wish()),
    "native_context": (small(), A100, Wish(max_model_len=4097), Wish(max_model_len=4096)),
    "share": (small(), A100, Wish(gpu_memory_utilization=0.995), Wish(gpu_memory_utilization=0.99)),
    "heads": (small(), A100, Wish(num_gpus=3), Wish(num_gpus=2)),
    "kv_heads": (
        small(num_attention_heads=24, num_key_value_heads=4, head_dim=8),
        A100,
        Wish(num_gpus=6),
        Wish(num_gpus=8),
    ),
    "blocks": (
        small(quantization_config={"quant_method": "fp8", "weight_block_size": [64, 64]}, num_key_value_heads=8),
        A100,
        Wish(num_gpus=8),
        Wish(),
    ),
    "nodes": (small(), A100, Wish(num_gpus=4, nodes=3), Wish(num_gpus=4, nodes=2)),
    "layers": (small(), A100, Wish(num_gpus=5, nodes=5), Wish(num_gpus=4, nodes=4)),
    "slices": (small(), SLICE, Wish(num_gpus=2), Wish()),
    "already_quantized": (read("qwen--qwen3-32b-fp8"), H100, Wish(quantization="fp8_per_block"), Wish()),
    "quantization": (small(), V100, Wish(quantization="fp8_per_tensor"), Wish()),
    "quantization_rocm": (
        read("qwen--qwen3-0.6b"),
        MI100,
        Wish(quantization="int8_per_channel_weight_only"),
        Wish(quantization="fp8_per_tensor"),
    ),
    "quantization_cpu": (small(), CPU, Wish(quantization="fp8_per_tensor"), Wish()),
    "quantization_experts": (small(), A100, Wish(quantization="int8_per_channel_weight_only"), Wish()),
    "quantization_unknown": (small(), A100, Wish(quantization="fp1"), Wish()),
    "kv_cache_dtype": (small(), V100, Wish(kv_cache_dtype="fp8"), Wish()),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_and_what_is_beside_it(kind: str) -> None:
    architecture, gpu, refused, allowed = REFUSALS[kind]
    assert kind_of(architecture, gpu, refused) == kind
    assert kind_of(architecture, gpu, allowed) == ""


def test_not_even_a_short_conversation_has_room() -> None:
    """Memory for weights and overhead and 1000 tokens."""
    model = read("qwen--qwen3-8b")
    fit = judge(model, A100, Wish())
    needed = fit.weights_bytes_per_gpu + fit.overhead_bytes_per_gpu + 1001 * fit.kv_cache_bytes_per_token
    gpu = replace(A100, memory_gib=(needed / 0.92 + 1) / GIB)
    assert kind_of(model, gpu, Wish()) == "kv_cache"
    assert kind_of(model, gpu, Wish(max_model_len=900)) == ""
    larger = replace(A100, memory_gib=gpu.memory_gib + SMALLEST_CONTEXT * fit.kv_cache_bytes_per_token / 0.9 / GIB)
    assert kind_of(model, larger, Wish()) == ""


@pytest.mark.parametrize(
    ("model_type", "gpu", "kind"),
    [
        # vLLM takes float16 where a GPU has no bfloat16, and these do not bear it.
        ("gemma2", V100, "bfloat16"),
        ("gemma2", T4, "bfloat16"),
        ("gemma2", A100, ""),
        ("gemma2", MI100, ""),
        ("llama", V100, ""),
    ],
)
def test_bfloat16_on_old_gpus(model_type: str, gpu: Gpu, kind: str) -> None:
    assert kind_of(small(model_type=model_type, head_dim=8), gpu, Wish()) == kind


NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}


@pytest.mark.parametrize(
    ("quantised", "gpu", "kind"),
    [
        ({"quant_method": "fp8"}, V100, "published"),
        ({"quant_method": "fp8"}, T4, ""),
        ({"quant_method": "fp8"}, A100, ""),
        ({"quant_method": "fp8"}, MI100, ""),
        ({"quant_method": "awq", "group_size": 32}, V100, "published"),
        ({"quant_method": "awq", "group_size": 32}, T4, ""),
        ({"quant_method": "gptq", "group_size": 32}, V100, ""),
        ({"quant_method": "mxfp4"}, T4, "published"),
        ({"quant_method": "mxfp4"}, A100, ""),
        (NVFP4, V100, "published"),
        (NVFP4, T4, ""),
        (NVFP4, B200, ""),
    ],
)
def test_published_quantisations_by_gpu(quantised: dict[str, Any], gpu: Gpu, kind: str) -> None:
    assert kind_of(small(quantization_config=quantised), gpu, Wish()) == kind


def test_a_quantisation_that_vllm_does_not_know() -> None:
    model = small(quantization_config={"quant_method": "fp8"})
    unknown = replace(model, checkpoint=replace(model.checkpoint, method="magic"))
    assert kind_of(unknown, A100, Wish()) == "published_unknown"


def test_every_sentence_has_a_test() -> None:
    elsewhere = {"kv_cache", "bfloat16", "published", "published_unknown"}
    assert SENTENCES.keys() == REFUSALS.keys() | elsewhere


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_conversions_start_at_the_same_gpus(name: str) -> None:
    assert QUANTIZATIONS[name].min_compute_capability == 7.5
    assert kind_of(read("qwen--qwen3-30b-a3b"), H100, Wish(quantization=name)) == ""


def test_a_cpu_has_neither_shares_nor_a_context() -> None:
    fit = judge(small(), CPU, Wish(gpu_memory_utilization=1.0))
    assert fit.fits
    assert (
        kind_of(small(), replace(A100, memory_gib=100), Wish(gpu_memory_utilization=1 - CONTEXT_BYTES / GIB / 100))
        == ""
    )


@pytest.mark.parametrize("wish", [Wish(num_gpus=0), Wish(nodes=0), Wish(num_gpus=-1), Wish(num_gpus=1, nodes=2)])
def test_impossible_numbers_of_gpus_are_refused(wish: Wish) -> None:
    assert kind_of(small(), A100, wish) == "nodes"


def test_sentences_say_what_to_choose() -> None:
    refusal = judge(small(num_attention_heads=12, num_key_value_heads=4, head_dim=8), A100, Wish(num_gpus=5)).refusal
    assert refusal is not None
    assert sentence(refusal) == "has 12 attention heads, which 5 GPUs of a node cannot divide: choose 1, 2, 4"
    refusal = judge(read("qwen--qwen3-8b"), V100, Wish()).refusal
    assert refusal is not None
    assert sentence(refusal) == "does not fit: it needs 17.6 GiB on each GPU, 14.5 GiB are usable"

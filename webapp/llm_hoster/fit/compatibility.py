"""What cannot go together whatever its size: heads and GPUs, quantisations and compute capabilities, slices."""

from __future__ import annotations

from collections.abc import Iterator

from llm_hoster.fit.architecture import Architecture
from llm_hoster.fit.parameters import Parameter
from llm_hoster.fit.quantization import QUANTIZATIONS, SUPPORT, Format
from llm_hoster.fit.refusal import Refusal, refuse
from llm_hoster.fit.wish import Gpu, Wish

BFLOAT16_CAPABILITY = 8.0
# config/model.py, _FLOAT16_NOT_SUPPORTED_MODELS: below compute capability 8.0 vLLM takes float16 for all others, and
# for these float32, which we do not offer: twice the memory, and slow.
NEED_BFLOAT16 = ("gemma2", "gemma3", "gemma3_text", "glm4")
# flash_attn.py and flashinfer.py in v1/attention/backends; Triton's would need 8.9. AMD's depends on its architecture.
FP8_CACHE_CAPABILITY = 8.0
GPUS_MAX = 16


def refusal_of_kind(architecture: Architecture, gpu: Gpu, wish: Wish) -> Refusal | None:
    """The first reason that has nothing to do with the amount of memory."""
    return next(_refusals(architecture, gpu, wish), None)


def _refusals(architecture: Architecture, gpu: Gpu, wish: Wish) -> Iterator[Refusal]:
    if wish.nodes < 1 or wish.num_gpus < 1 or wish.num_gpus % wish.nodes:
        yield refuse("nodes", gpus=wish.num_gpus, nodes=wish.nodes)
        return
    if gpu.is_slice and wish.num_gpus > 1:
        yield refuse("slices")
    if wish.nodes > len(architecture.layers):
        yield refuse("layers", layers=len(architecture.layers), nodes=wish.nodes)
    yield from _division(architecture, wish)
    yield from _published(architecture, gpu)
    yield from _on_the_fly(architecture, gpu, wish)
    if not gpu.has(BFLOAT16_CAPABILITY) and architecture.model_type in NEED_BFLOAT16:
        yield refuse("bfloat16", has=gpu.compute_capability)
    if wish.kv_cache_dtype == "fp8" and gpu.accelerator != "cuda":
        yield refuse("kv_cache_dtype")
    if (wish.kv_cache_dtype == "fp8" or architecture.checkpoint.has_fp8_cache) and not gpu.has(FP8_CACHE_CAPABILITY):
        yield refuse("kv_cache_dtype")
    native = architecture.native_max_model_len
    if wish.max_model_len is not None and wish.max_model_len > native:
        yield refuse("native_context", wanted=wish.max_model_len, native=native)


def _division(architecture: Architecture, wish: Wish) -> Iterator[Refusal]:
    gpus = wish.tensor_parallel
    if divides(architecture, gpus):
        return
    choices = ", ".join(str(number) for number in range(1, GPUS_MAX + 1) if divides(architecture, number))
    if architecture.num_attention_heads % gpus:
        yield refuse("heads", heads=architecture.num_attention_heads, gpus=gpus, choices=choices)
    elif not _heads_go(architecture.num_key_value_heads, gpus):
        yield refuse("kv_heads", heads=architecture.num_key_value_heads, gpus=gpus, choices=choices)
    else:
        yield refuse("blocks", gpus=gpus, choices=choices)


def divides(architecture: Architecture, gpus: int) -> bool:
    """Whether vLLM can divide every layer among so many GPUs of a node."""
    if architecture.num_attention_heads % gpus or not _heads_go(architecture.num_key_value_heads, gpus):
        return False
    return all(_goes(each, gpus) for layer, _ in architecture.distinct_layers for each in layer.parameters)


def _heads_go(heads: int, gpus: int) -> bool:
    """More GPUs than key-value heads: each has a copy of one."""
    return heads % gpus == 0 if heads >= gpus else gpus % heads == 0


def _goes(parameter: Parameter, gpus: int) -> bool:
    """Whether quantised blocks stay whole (validate_fp8_block_shape and Marlin's group check in vLLM)."""
    block = parameter.format.block if parameter.format else (0, 0)
    if parameter.split == "rows":
        return parameter.rows % gpus == 0 and (block[0] < 2 or parameter.rows // gpus % block[0] == 0)
    if parameter.split == "columns":
        return parameter.columns % gpus == 0 and (
            gpus == 1 or block[1] < 2 or parameter.columns // gpus % block[1] == 0 or _is_padded(parameter.format)
        )
    return True


def _is_padded(format: Format | None) -> bool:
    return format is not None and format.name == "mxfp4"


def _published(architecture: Architecture, gpu: Gpu) -> Iterator[Refusal]:
    method = architecture.quantization
    if not method:
        return
    support = SUPPORT.get(method)
    if support is None:
        yield refuse("published_unknown", method=method)
        return
    needs = support.min_compute_capability
    if not gpu.has(needs):
        yield refuse("published", method=method, needs=needs, has=gpu.compute_capability)


def _on_the_fly(architecture: Architecture, gpu: Gpu, wish: Wish) -> Iterator[Refusal]:
    name = wish.quantization
    if not name:
        return
    conversion = QUANTIZATIONS.get(name)
    if conversion is None:
        yield refuse("quantization_unknown", quantization=name, choices=", ".join(QUANTIZATIONS))
    elif architecture.quantization:
        yield refuse("already_quantized", method=architecture.quantization)
    elif gpu.accelerator == "cpu":
        yield refuse("quantization_cpu", quantization=name)
    elif gpu.accelerator == "rocm" and not conversion.rocm:
        yield refuse("quantization_rocm", quantization=name)
    elif not gpu.has(conversion.min_compute_capability):
        needs = conversion.min_compute_capability
        yield refuse("quantization", quantization=name, needs=needs, has=gpu.compute_capability)
    elif conversion.experts_only and not architecture.experts_per_token:
        yield refuse("quantization_experts", quantization=name)

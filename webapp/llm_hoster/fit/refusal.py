"""Why a model cannot be had on some GPUs: kinds of reasons, and their sentences."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Refusal(NamedTuple):
    kind: str
    """A key of SENTENCES."""
    values: Mapping[str, str]
    """Finished texts for the places of its sentence."""


# They follow a model's name: "Qwen3 8B does not fit: ...". %{name} is a place.
SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "memory": "does not fit: it needs %{needed} GiB on each GPU, %{usable} GiB are usable",
        "kv_cache": "does not fit: not even one conversation of %{tokens} tokens has room beside its weights, "
        "only %{longest} tokens have",
        "context": "does not fit with a context of %{wanted} tokens: at most %{longest} have room",
        "native_context": "has a context of %{native} tokens: %{wanted} is too long",
        "share": "cannot start: vLLM would take %{percent} % of a GPU and leave less than CUDA's own %{context} GiB",
        "heads": "has %{heads} attention heads, which %{gpus} GPUs of a node cannot divide: choose %{choices}",
        "kv_heads": "has %{heads} key-value heads, which %{gpus} GPUs of a node cannot divide: choose %{choices}",
        "blocks": "has quantised layers that %{gpus} GPUs of a node cannot divide: choose %{choices}",
        "nodes": "cannot be divided: %{gpus} GPUs do not share out evenly among %{nodes} nodes",
        "layers": "has %{layers} layers, too few for %{nodes} nodes",
        "slices": "needs one GPU or slice: slices of a GPU cannot work together",
        "bfloat16": "needs bfloat16, which GPUs below compute capability 8.0 do not have; this one has %{has}",
        "published": "is quantised with %{method}, which needs compute capability %{needs}; this GPU has %{has}",
        "published_unknown": "is quantised with %{method}, which vLLM does not know",
        "already_quantized": "is quantised already (%{method}): choose no further quantisation",
        "quantization": "cannot be converted to %{quantization}: that needs compute capability %{needs}; "
        "this GPU has %{has}",
        "quantization_rocm": "cannot be converted to %{quantization} on AMD GPUs",
        "quantization_cpu": "cannot be converted to %{quantization} on a CPU",
        "quantization_experts": "cannot be converted to %{quantization}: that is for experts, and it has none",
        "quantization_unknown": "cannot be converted to %{quantization}: choose one of %{choices}",
        "kv_cache_dtype": "cannot keep conversations in FP8 here: that needs an NVIDIA GPU of compute capability 8.0",
    }
)


def refuse(kind: str, **values: object) -> Refusal:
    return Refusal(kind, MappingProxyType({name: str(value) for name, value in values.items()}))

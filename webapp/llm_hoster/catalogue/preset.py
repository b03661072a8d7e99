"""Presets: what a session is tuned for, in vLLM's arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PresetArguments:
    title: str
    args: tuple[str, ...]
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    # Of vLLM's defaults for requests and tokens in one step; EngineArgs doubles them for throughput.
    batch_factor: int = 1
    # Whether GPUs that need not share a model each serve one of their own.
    has_replicas: bool = False


AS_PUBLISHED = "none"  # of the quantisations

# While it starts, vLLM records CUDA graphs for 51 batch sizes up to 512, for 76 in its interactive mode, most of them
# twice. Steps with more tokens than this run without a graph, which is felt by crowds of more than 100 people only.
FEW_GRAPHS = ("--max-cudagraph-capture-size", "128")
# The first is the form's default. `--performance-mode` is there from vLLM 0.17 on, the other options from 0.12 on.
PRESETS = {
    "interactive": PresetArguments(
        "Interactive: quick answers for a few people", ("--performance-mode", "interactivity", *FEW_GRAPHS)
    ),
    "throughput": PresetArguments(
        "Throughput: many requests at once, scripts and whole classes",
        ("--performance-mode", "throughput"),
        batch_factor=2,
        has_replicas=True,
    ),
    "long-context": PresetArguments(
        "Long context: room for twice as many tokens, at a slightly lower precision",
        ("--kv-cache-dtype", "fp8", *FEW_GRAPHS),
        kv_cache_dtype="fp8",
    ),
}

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


AS_PUBLISHED = "none"  # of the quantisations
# The first is the form's default.
PRESETS = {
    "interactive": PresetArguments(
        "Interactive: quick answers for a few people", ("--performance-mode", "interactivity")
    ),
    "throughput": PresetArguments(
        "Throughput: many requests at once, scripts and whole classes",
        ("--performance-mode", "throughput"),
        batch_factor=2,
    ),
    "long-context": PresetArguments(
        "Long context: room for twice as many tokens, at a slightly lower precision",
        ("--kv-cache-dtype", "fp8"),
        kv_cache_dtype="fp8",
    ),
}

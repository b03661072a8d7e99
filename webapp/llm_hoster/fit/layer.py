"""One layer of a model: its weights, and what it keeps of a conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_hoster.fit.parameters import Parameter

CacheKind = Literal["full", "sliding", "chunked", "latent", "indexer", "state"]


@dataclass(frozen=True)
class State:
    """A part of a recurrent layer's constant state; tensor parallelism divides it."""

    elements: int
    bytes_per_element: int = 0
    """0 = as the model's data type."""
    group_elements: int = 0
    """Of these groups each GPU keeps whole ones, at least one."""
    groups: int = 1

    def elements_per_gpu(self, tensor_parallel: int) -> int:
        kept = self.group_elements // self.groups * max(1, self.groups // tensor_parallel)
        return -(-self.elements // tensor_parallel) + kept


@dataclass(frozen=True)
class Cache:
    """What one layer keeps: for each token heads x width elements, or a constant state.

    sliding and chunked layers forget what is more than `window` tokens back. latent (MLA) and indexer entries are one
    for all heads, so that each GPU has its own copy.
    """

    kind: CacheKind
    heads: int = 1
    width: int = 0
    window: int = 0
    bytes_per_token: int = 0
    """Of an indexer, whose entries have a data type of their own."""
    states: tuple[State, ...] = ()
    states_kept: int = 2
    """Of one conversation while its tokens are worked on: MambaSpec.max_memory_usage_bytes in vLLM's
    v1/kv_cache_interface.py, with mamba_cache_mode "align", which prefix caching asks for."""


@dataclass(frozen=True)
class Layer:
    caches: tuple[Cache, ...]
    """Empty where a layer keeps nothing, or reads what an earlier one kept."""
    parameters: tuple[Parameter, ...]
    mixer_width: int = 0
    """What attention or recurrence makes of one token: queries, keys, values, output; for the memory of a step."""
    network_width: int = 0
    """The same of the feed-forward network, all experts of a token together."""

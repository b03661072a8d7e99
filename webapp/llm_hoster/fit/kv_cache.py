"""The KV cache as vLLM lays it out: blocks of tokens, layers in groups, one pool of blocks for all groups.

After vLLM 0.32's v1/core/kv_cache_utils.py and v1/kv_cache_interface.py, with the layouts that its backends ask for on
NVIDIA, AMD and CPU by default, prefix caching on and without speculative decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from llm_hoster.fit.layer import Cache, CacheKind, Layer

Accelerator = Literal["cuda", "rocm", "cpu"]

# CacheConfig.DEFAULT_BLOCK_SIZE; platforms/cpu.py takes 128 and, for MLA, 16; FlashMLA's pages hold 64 tokens.
BLOCK_TOKENS = {"cuda": 16, "rocm": 16, "cpu": 128}
LATENT_BLOCK_TOKENS = {"cuda": 64, "rocm": 16, "cpu": 16}
# Platform._align_hybrid_block_size: manager blocks of MLA beside recurrent layers hold a multiple of 128 tokens.
HYBRID_LATENT_BLOCK_TOKENS = 128
# _get_kv_cache_groups_uniform_page_size: up to this ratio shorter kinds are padded to the longest.
PADDING_RATIO = 1.5
GROWING: tuple[CacheKind, ...] = ("full", "latent", "indexer")


@dataclass(frozen=True)
class Page:
    """What one layer puts into one block, on one GPU."""

    kind: CacheKind
    tokens: int
    size: int
    window: int = 0
    shape: tuple[int, int] = (0, 0)
    states: int = 0

    def blocks(self, length: int, in_flight: int) -> int:
        """How many blocks a conversation of this length holds at most while its tokens are worked on."""
        if self.kind == "state":
            return self.states
        if self.kind == "sliding":
            return -(-min(self.window - 1 + in_flight, length) // self.tokens) + 1
        if self.kind == "chunked":
            return -(-min(self.window + in_flight, length) // self.tokens)
        return -(-length // self.tokens)


@dataclass(frozen=True)
class Group:
    """Layers that share one table of blocks. A block of the pool is as large as the largest group's pages."""

    page: Page
    pages: tuple[tuple[int, int], ...]
    """Layer and bytes."""

    def size(self, stage: range) -> int:
        return sum(size for layer, size in self.pages if layer in stage)


@dataclass(frozen=True)
class Pool:
    """`blocks` of `block_bytes` on the fullest GPU; a conversation takes some for each group."""

    groups: tuple[Group, ...]
    block_bytes: int
    blocks: int
    in_flight: int

    def blocks_for(self, length: int) -> int:
        return sum(group.page.blocks(length, self.in_flight) for group in self.groups)

    def holds(self, length: int) -> bool:
        """One block, the null block, is never given away."""
        return self.blocks_for(length) < self.blocks

    def conversations(self, length: int) -> int:
        """How many of this length at once; vLLM's "Maximum concurrency", rounded down."""
        needed = self.blocks_for(length)
        return self.blocks // needed if needed and self.holds(length) else 0

    def longest(self, limit: int) -> int:
        """The longest conversation that fits, at most `limit`; 0 when not even one token does."""
        if not self.holds(1):
            return 0
        low, high = 1, limit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.holds(middle) else (low, middle - 1)
        return low

    def bytes_per_token(self) -> int:
        """Of one more token in a long conversation: windows and states no longer grow then."""
        growing = [group.page.tokens for group in self.groups if group.page.kind in GROWING]
        return sum(-(-self.block_bytes // tokens) for tokens in growing)


def lay_out(
    layers: Sequence[Layer], tensor_parallel: int, accelerator: Accelerator, bytes_per_element: int, state_bytes: int
) -> tuple[Group, ...]:
    """The groups of the whole model, with the pages of one GPU; () for a model that keeps nothing."""
    pages = [
        (index, _page(cache, tensor_parallel, accelerator, bytes_per_element))
        for index, layer in enumerate(layers)
        for cache in layer.caches
        if cache.kind != "state"
    ]
    states = [
        (index, Page("state", 1, _state_size(cache, tensor_parallel, state_bytes), states=cache.states_kept))
        for index, layer in enumerate(layers)
        for cache in layer.caches
        if cache.kind == "state"
    ]
    if states:
        pages = _align_to_states(pages, states)
    if not pages:
        return ()
    if _share_one_table(pages):
        return (Group(pages[0][1], tuple((index, page.size) for index, page in pages)),)
    return _hybrid_groups(_unify(pages))


def make_pool(groups: tuple[Group, ...], stages: Sequence[range], available: Sequence[int], in_flight: int) -> Pool:
    """The pool of the GPU with the fewest blocks, which all the others follow."""
    sizes = [max((group.size(stage) for group in groups), default=0) for stage in stages]
    blocks = [max(0, memory) // size for memory, size in zip(available, sizes, strict=True) if size]
    return Pool(groups, max(sizes, default=0), min(blocks, default=0), in_flight)


def _page(cache: Cache, tensor_parallel: int, accelerator: Accelerator, bytes_per_element: int) -> Page:
    if cache.kind in ("latent", "indexer"):
        tokens = LATENT_BLOCK_TOKENS[accelerator]
        size = tokens * (cache.bytes_per_token or cache.width * bytes_per_element)
        return Page(cache.kind, tokens, size, shape=(1, cache.width))
    tokens = BLOCK_TOKENS[accelerator]
    heads = max(1, cache.heads // tensor_parallel)
    size = tokens * heads * cache.width * bytes_per_element
    return Page(cache.kind, tokens, size, cache.window, (heads, cache.width))


def _state_size(cache: Cache, tensor_parallel: int, state_bytes: int) -> int:
    return sum(
        state.elements_per_gpu(tensor_parallel) * (state.bytes_per_element or state_bytes) for state in cache.states
    )


def _align_to_states(pages: list[tuple[int, Page]], states: list[tuple[int, Page]]) -> list[tuple[int, Page]]:
    """Attention's blocks hold as many tokens as make them as large as the largest state, which is padded to them."""
    largest = max(state.size for _, state in states)
    growing = [page for _, page in pages if page.kind in GROWING and page.kind != "indexer"]
    if not growing:
        return pages + [(index, replace(state, size=largest)) for index, state in states]
    unit = growing[0]
    per_token = unit.size // unit.tokens
    step = max(unit.tokens, HYBRID_LATENT_BLOCK_TOKENS) if unit.kind == "latent" else unit.tokens
    tokens = max(unit.tokens, step * -(-largest // (step * per_token)))
    aligned = [(index, replace(page, tokens=tokens, size=page.size // page.tokens * tokens)) for index, page in pages]
    padded = [(index, replace(state, tokens=tokens, size=per_token * tokens)) for index, state in states]
    return sorted([*aligned, *padded], key=lambda each: each[0])


def _share_one_table(pages: list[tuple[int, Page]]) -> bool:
    """All layers keep every token, or all have the same window: then pages of different sizes lie side by side."""
    first = pages[0][1]
    if any(page.tokens != first.tokens for _, page in pages):
        return False
    if all(page.kind in GROWING for _, page in pages):
        return True
    return first.kind != "state" and all((page.kind, page.window) == (first.kind, first.window) for _, page in pages)


def _unify(pages: list[tuple[int, Page]]) -> list[tuple[int, Page]]:
    """Pages of one size: more tokens where that comes out even, padding elsewhere."""
    largest = max(page.size for _, page in pages)
    unified = []
    for index, page in pages:
        ratio = largest // page.size if page.kind != "state" and largest % page.size == 0 else 1
        unified.append((index, replace(page, tokens=page.tokens * ratio, size=largest)))
    return unified


def _hybrid_groups(pages: list[tuple[int, Page]]) -> tuple[Group, ...]:
    """Groups of equally many layers, so that every group's block has the same size."""
    buckets: dict[Page, list[int]] = {}
    for index, page in pages:
        buckets.setdefault(page, []).append(index)
    fewest, most = min(map(len, buckets.values())), max(map(len, buckets.values()))
    wanted = most if most < fewest * PADDING_RATIO else fewest
    groups = []
    for page, layers in buckets.items():
        count = -(-len(layers) // wanted)
        groups += [Group(page, tuple((layer, page.size) for layer in layers[start::count])) for start in range(count)]
    return tuple(groups)

"""Whether a model fits on some GPUs under vLLM, how long its context can be and how many people it serves at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_hoster.fit.architecture import Architecture
from llm_hoster.fit.compatibility import refusal_of_kind
from llm_hoster.fit.kv_cache import Group, Pool, lay_out, make_pool
from llm_hoster.fit.overhead import CONTEXT_BYTES, overhead_bytes, step_of
from llm_hoster.fit.quantization import QUANTIZATIONS
from llm_hoster.fit.refusal import SENTENCES, Refusal, refuse
from llm_hoster.fit.weights import BYTES_IN_MEMORY, count_weights, stages_of
from llm_hoster.fit.wish import GIB, Gpu, Wish

__all__ = ["QUANTIZATIONS", "SENTENCES", "Fit", "Gpu", "Refusal", "Wish", "judge"]

# A model that answers with less room than this is no use to anybody.
SMALLEST_CONTEXT = 2048


@dataclass(frozen=True)
class Fit:
    fits: bool
    refusal: Refusal | None
    weights_bytes: int
    """Of the whole model as it lies in memory, once."""
    weights_bytes_per_gpu: int
    """On the GPU that has most of them."""
    overhead_bytes_per_gpu: int
    """Activations, CUDA graphs, workspaces and NCCL, on the GPU with least room. The CUDA context lies outside vLLM's
    share of the memory and is not in it."""
    kv_cache_bytes_per_token: int
    """On one GPU, for one more token of a long conversation: its windows are full then, its states do not grow."""
    kv_cache_bytes_available: int
    """On the GPU with least room."""
    max_model_len: int
    """The longest context that fits, at most the model's own. 0 when it does not fit; when only the context that was
    wished for does not, the longest that would."""
    native_max_model_len: int
    is_estimate: bool
    """The architecture is not known layer by layer."""
    pool: Pool = field(repr=False, compare=False)

    def people_at(self, context: int) -> int:
        """How many conversations of this length at once: vLLM's "Maximum concurrency", rounded down."""
        return self.pool.conversations(context) if self.fits and context > 0 else 0


def judge(architecture: Architecture, gpu: Gpu, wish: Wish, *, weights_bytes: int | None = None) -> Fit:
    """Say whether the model fits; `weights_bytes` is the exact size of its files where they or their index give it."""
    refusal = refusal_of_kind(architecture, gpu, wish)
    if wish.nodes < 1 or wish.num_gpus < wish.nodes or wish.nodes > len(architecture.layers):
        wish = Wish()
    stages = stages_of(len(architecture.layers), wish.nodes)
    conversion = QUANTIZATIONS.get(wish.quantization) if not architecture.quantization else None
    weights = count_weights(architecture, stages, wish.tensor_parallel, conversion, weights_bytes, gpu.expert_padding())
    overheads = [overhead_bytes(step_of(architecture, gpu, wish, index)) for index in range(len(stages))]
    share = int(gpu.bytes * wish.gpu_memory_utilization)
    taken = [weight + overhead for weight, overhead in zip(weights.per_stage, overheads, strict=True)]
    available = [share - each for each in taken]
    pool = make_pool(_groups(architecture, gpu, wish), stages, available, _in_flight(gpu, wish))
    native = architecture.native_max_model_len
    longest = pool.longest(native) if min(available) > 0 else 0
    refusal = refusal or _refusal_of_size(wish, gpu, share, taken, pool, longest, native)
    return Fit(
        fits=refusal is None,
        refusal=refusal,
        weights_bytes=weights.in_memory,
        weights_bytes_per_gpu=max(weights.per_stage),
        overhead_bytes_per_gpu=overheads[taken.index(max(taken))],
        kv_cache_bytes_per_token=pool.bytes_per_token(),
        kv_cache_bytes_available=max(0, min(available)),
        max_model_len=longest if refusal is None or refusal.kind == "context" else 0,
        native_max_model_len=native,
        is_estimate=architecture.is_estimate,
        pool=pool,
    )


def _groups(architecture: Architecture, gpu: Gpu, wish: Wish) -> tuple[Group, ...]:
    is_fp8 = wish.kv_cache_dtype == "fp8" or architecture.checkpoint.has_fp8_cache
    bytes_per_element = 1 if is_fp8 else BYTES_IN_MEMORY
    return lay_out(architecture.layers, wish.tensor_parallel, gpu.accelerator, bytes_per_element, BYTES_IN_MEMORY)


def _in_flight(gpu: Gpu, wish: Wish) -> int:
    """Tokens that are worked on while windows move on (VllmConfig.max_in_flight_tokens): a batch for each stage, and
    one more that is scheduled ahead, which a CPU does not."""
    batches = wish.nodes + (0 if gpu.accelerator == "cpu" else 1)
    return batches * (wish.max_num_batched_tokens or gpu.batch_defaults(wish.num_gpus)[1])


def _refusal_of_size(
    wish: Wish, gpu: Gpu, share: int, taken: Sequence[int], pool: Pool, longest: int, native: int
) -> Refusal | None:
    if gpu.accelerator == "cuda" and gpu.bytes - share < CONTEXT_BYTES:
        percent, context = round(100 * wish.gpu_memory_utilization), _gib(CONTEXT_BYTES)
        return refuse("share", percent=percent, context=context)
    least = min(SMALLEST_CONTEXT, native, wish.max_model_len or native)
    if share <= max(taken) or longest == 0:
        needed = max(taken) + pool.block_bytes * (pool.blocks_for(least) + 1)
        return refuse("memory", needed=_gib(needed), usable=_gib(share, up=False))
    if longest < least:
        return refuse("kv_cache", tokens=least, longest=longest)
    if wish.max_model_len is not None and wish.max_model_len > longest:
        return refuse("context", wanted=wish.max_model_len, longest=longest)
    return None


def _gib(size: int, *, up: bool = True) -> str:
    """Tenths of a GiB; what is needed is rounded up and what is there down, so that the two never look alike."""
    tenths = -(-size * 10 // GIB) if up else size * 10 // GIB
    return f"{tenths / 10:.1f}"

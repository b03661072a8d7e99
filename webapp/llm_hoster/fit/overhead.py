"""The memory of one GPU beside weights and KV cache: what vLLM's profile run and CUDA graphs take.

vLLM measures it (Worker.determine_available_memory in v1/worker/gpu_worker.py); this follows what that run allocates.
The constants were set so that the figures of published start-up logs are met from the safe side: see
tests/fit/vllm_logs.json.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_hoster.fit.architecture import Architecture
from llm_hoster.fit.wish import Gpu, Wish

GIB = 2**30

# CUDA's context with the kernels of torch and vLLM; taken before vLLM looks at the memory, so not out of its share.
CONTEXT_BYTES = GIB // 2
# cuBLAS and attention workspaces, FlashInfer's 394 MiB where it samples, tables of rotary positions (32 MiB for 131072
# of width 128), the allocator's rounding.
WORKSPACE_BYTES = 600 * 2**20
# Communicators of NCCL and vLLM's own all-reduce buffers, for several GPUs.
COMMUNICATION_BYTES = 500 * 2**20
# Graphs of vLLM's default capture sizes (51 piecewise and 35 full ones), for each layer.
GRAPH_BYTES_PER_LAYER = 16 * 2**20
GRAPH_BYTES = 256 * 2**20
# Logits in the model's type and gathered, then in float32 for sampling (v1/worker/gpu/sample/sampler.py).
LOGITS_BYTES = 2 + 2 + 4 + 4
# Counts of the words written so far, for penalties (v1/worker/gpu/sample/penalties.py): 32 bits and a mask.
COUNTS_BITS = 33
ACTIVATION_BYTES = 2
# Residual, hidden states, their norm and a copy that torch.compile's graph holds.
ROWS_BESIDE = 4
# vLLM prepares for the largest picture that a model takes (Qwen2.5-VL: 16384 tokens).
LARGEST_PICTURE = 16384
PICTURE_ROWS = 16


@dataclass(frozen=True)
class Step:
    """What one step of the profile run works on, on one GPU."""

    tokens: int
    requests: int
    hidden: int
    mixer_width: int
    network_width: int
    routed_width: int
    """What comes back from the experts for one token before it is added up."""
    vocabulary: int
    """0 on a GPU that chooses no words."""
    layers: int
    num_gpus: int
    pictures: int
    """Tokens of the largest picture, 0 where there is no tower."""


def step_of(architecture: Architecture, gpu: Gpu, wish: Wish, stage: int) -> Step:
    requests, tokens = gpu.batch_defaults(wish.num_gpus)
    parallel = wish.tensor_parallel
    return Step(
        tokens=wish.max_num_batched_tokens or tokens,
        requests=wish.max_num_seqs or requests,
        hidden=architecture.hidden_size,
        mixer_width=-(-max(layer.mixer_width for layer in architecture.layers) // parallel),
        network_width=-(-3 * max(layer.network_width for layer in architecture.layers) // parallel),
        routed_width=architecture.experts_per_token * architecture.hidden_size,
        vocabulary=architecture.vocab_size if stage == wish.nodes - 1 else 0,
        layers=-(-len(architecture.layers) // wish.nodes),
        num_gpus=wish.num_gpus,
        pictures=LARGEST_PICTURE if architecture.tower and stage == 0 else 0,
    )


def overhead_bytes(step: Step) -> int:
    """Activations at their peak, CUDA graphs and workspaces; without the context, which lies outside vLLM's share."""
    row = ROWS_BESIDE * step.hidden + max(step.mixer_width, step.network_width + step.routed_width)
    activations = step.tokens * row * ACTIVATION_BYTES
    pictures = step.pictures * PICTURE_ROWS * step.hidden * ACTIVATION_BYTES
    sampling = step.requests * step.vocabulary * LOGITS_BYTES
    counts = step.requests * step.vocabulary * COUNTS_BITS // 8
    graphs = GRAPH_BYTES + step.layers * GRAPH_BYTES_PER_LAYER
    communication = COMMUNICATION_BYTES if step.num_gpus > 1 else 0
    return max(activations, sampling, pictures) + counts + graphs + communication + WORKSPACE_BYTES

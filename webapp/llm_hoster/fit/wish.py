"""What a model is to be run on, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_hoster.fit.kv_cache import Accelerator
from llm_hoster.fit.split import split

GIB = 2**30
# CacheConfig.gpu_memory_utilization in vLLM's config/cache.py.
GPU_MEMORY_UTILIZATION = 0.92
# EngineArgs.get_batch_defaults in vLLM's engine/arg_utils.py, for a server: GPUs from 160 GiB, from 70 GiB, others.
BATCH_DEFAULTS = ((160, 1024, 16384), (70, 1024, 8192), (0, 256, 2048))
CPU_BATCH_DEFAULTS = (128, 2048)
# The A100 of 80 GB is excepted there by name; no other GPU has its compute capability.
A100 = 8.0


@dataclass(frozen=True)
class Gpu:
    memory_gib: float
    """As torch.cuda.mem_get_info()[1] gives it, a little less than its maker says. Of a CPU: the job's memory."""
    accelerator: Accelerator
    compute_capability: float | None
    """8.0; None for AMD and CPU."""
    is_slice: bool
    """A MIG slice: cannot work together with others."""

    @property
    def bytes(self) -> int:
        return int(self.memory_gib * GIB)

    def has(self, compute_capability: float) -> bool:
        """False only for an NVIDIA GPU known to be older."""
        return self.compute_capability is None or self.compute_capability >= compute_capability

    def expert_padding(self) -> tuple[int, int]:
        """To what vLLM rounds MXFP4 experts up: their own width and the model's.

        mxfp4_round_up_hidden_size_and_intermediate_size in model_executor/layers/fused_moe/oracle/mxfp4.py: those of
        Marlin's kernels, the largest of those that a GPU may get.
        """
        return (32, 32) if self.accelerator == "cpu" else (128, 256)

    def batch_defaults(self, num_gpus: int) -> tuple[int, int]:
        """vLLM's max_num_seqs and max_num_batched_tokens."""
        if self.accelerator == "cpu":
            return CPU_BATCH_DEFAULTS[0] * num_gpus, CPU_BATCH_DEFAULTS[1] * num_gpus
        for memory_gib, requests, tokens in BATCH_DEFAULTS:
            if self.memory_gib >= memory_gib and not (memory_gib == 70 and self.compute_capability == A100):
                return requests, tokens
        raise AssertionError("the last entry of BATCH_DEFAULTS takes all")


@dataclass(frozen=True)
class Wish:
    num_gpus: int = 1
    """All nodes together: tensor parallel within a node, pipeline parallel over nodes."""
    nodes: int = 1
    quantization: str = ""
    """"" = as published, else one of QUANTIZATIONS."""
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    max_model_len: int | None = None
    """None = the longest that fits."""
    gpu_memory_utilization: float = GPU_MEMORY_UTILIZATION
    max_num_seqs: int | None = None
    """None = vLLM's default for a server on such a GPU."""
    max_num_batched_tokens: int | None = None
    """None = vLLM's default for a server on such a GPU."""

    @property
    def tensor_parallel(self) -> int:
        return split(self.num_gpus, self.nodes).tensor_parallel

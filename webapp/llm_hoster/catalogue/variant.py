"""How a model is to be run at a place: the quantisation, preset and context of the form, for the memory arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_hoster.catalogue.arguments import UTILIZATION, value_of
from llm_hoster.catalogue.compiled import Accelerator
from llm_hoster.catalogue.preset import AS_PUBLISHED, PRESETS
from llm_hoster.fit.configuration import Configuration
from llm_hoster.fit.fit import Fit, Gpu, Wish, judge
from llm_hoster.fit.wish import GPU_MEMORY_UTILIZATION


class GpuMemory(Protocol):
    """A GPU type, of site.yml or as compiled."""

    @property
    def memory_gib(self) -> float: ...
    @property
    def compute_capability(self) -> float | None: ...
    @property
    def is_slice(self) -> bool: ...


@dataclass(frozen=True)
class Variant:
    quantization: str
    preset: str
    max_model_len: int | None = None

    def judge(
        self,
        configuration: Configuration,
        gpu_type: GpuMemory,
        accelerator: Accelerator,
        num_gpus: int,
        nodes: int,
        arguments: Sequence[str],
    ) -> Fit:
        """
        Judge the memory; raise ArchitectureError when the model cannot be counted.

        `arguments` are those of the site and of models.yml: what they say of the memory counts.
        """
        gpu = Gpu(gpu_type.memory_gib, accelerator, gpu_type.compute_capability, gpu_type.is_slice)
        wish = self._wish(gpu, num_gpus, nodes, arguments)
        return judge(configuration.architecture, gpu, wish, weights_bytes=configuration.weights_bytes)

    def _wish(self, gpu: Gpu, num_gpus: int, nodes: int, arguments: Sequence[str]) -> Wish:
        preset = PRESETS[self.preset]
        utilization = value_of(UTILIZATION, arguments)
        requests, tokens = gpu.batch_defaults(num_gpus)
        return Wish(
            num_gpus=num_gpus,
            nodes=nodes,
            quantization="" if self.quantization == AS_PUBLISHED else self.quantization,
            kv_cache_dtype=preset.kv_cache_dtype,
            max_model_len=self.max_model_len,
            gpu_memory_utilization=GPU_MEMORY_UTILIZATION if utilization is None else float(utilization),
            max_num_seqs=requests * preset.batch_factor,
            max_num_batched_tokens=tokens * preset.batch_factor,
        )

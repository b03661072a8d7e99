"""A worker that makes the tensors which a later stage receives; vLLM's own does so only when it compiles."""

from __future__ import annotations

from typing import Any

from vllm.distributed import get_pp_group
from vllm.v1.worker.cpu_worker import CPUWorker


class PipelineWorker(CPUWorker):  # type: ignore[misc] # the app's environment has no vLLM
    def load_model(self, *arguments: Any, **options: Any) -> None:
        super().load_model(*arguments, **options)
        if not get_pp_group().is_first_rank:
            runner = self.model_runner
            runner.intermediate_tensors = runner.model.make_empty_intermediate_tensors(
                batch_size=runner.max_num_tokens, dtype=runner.dtype, device=runner.device
            )

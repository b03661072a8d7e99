"""A platform of vLLM with Ray and pipeline parallelism, but without a GPU. Test equipment: it is never installed."""

from __future__ import annotations

from typing import Any

from vllm.platforms.cpu import CpuPlatform


class CpuRayPlatform(CpuPlatform):  # type: ignore[misc] # the app's environment has no vLLM
    ray_device_key = "GPU"

    @classmethod
    def check_and_update_config(cls, vllm_config: Any) -> None:
        super().check_and_update_config(vllm_config)
        vllm_config.parallel_config.worker_cls = "cpu_ray_worker.PipelineWorker"

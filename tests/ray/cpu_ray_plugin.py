"""What vLLM finds by its entry point. It must import nothing of vLLM, which is only half there at that moment."""

from __future__ import annotations


def register() -> str:
    return "cpu_ray_platform.CpuRayPlatform"

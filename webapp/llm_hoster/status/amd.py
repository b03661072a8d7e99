"""AMD's GPUs, through the Python module `amdsmi` that ROCm brings with it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from llm_hoster.status.gpu import Gpu, chosen, visible_devices

VARIABLES = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
# Where ROCm keeps the module when it was not installed into a Python.
MODULE_FOLDER = "share/amd_smi"
RENDER_NODE = "/dev/dri/renderD{}"
MIB = 1024 * 1024


class AmdGpus:
    """Its answers are dictionaries in which any value may be the text N/A."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._names = visible_devices(environment, VARIABLES)
        self._rocm = Path(environment.get("ROCM_PATH", "/opt/rocm"))
        self._amdsmi: ModuleType | None = None
        self._has_failed = False
        self._handles: list[Any] = []

    def read(self) -> list[Gpu]:
        if self._names == [] or self._has_failed:
            return []
        if self._amdsmi is None:
            self._find()
        return [_read(self._amdsmi, handle) for handle in self._handles] if self._amdsmi else []

    def _find(self) -> None:
        """Try once: without ROCm's driver there is nothing to come later. What fails in its module is not shown."""
        try:
            amdsmi = _import(self._rocm / MODULE_FOLDER)
            amdsmi.amdsmi_init()
            handles = [handle for handle in amdsmi.amdsmi_get_processor_handles() if _is_allowed(amdsmi, handle)]
            uuids = [f"GPU-{_serial(amdsmi, handle)}" for handle in handles]
        except Exception:
            self._has_failed = True
            return
        self._handles = [handles[index] for index in chosen(self._names, uuids)]
        self._amdsmi = amdsmi


def _import(folder: Path) -> ModuleType:
    """Import it; the folder comes last, so that it hides no module of another name."""
    if folder.is_dir() and str(folder) not in sys.path:
        sys.path.append(str(folder))
    return importlib.import_module("amdsmi")


def _is_allowed(amdsmi: ModuleType, handle: Any) -> bool:
    """Say whether the job's cgroup opens the device: some versions list all of the node."""
    information = _ask(amdsmi.amdsmi_get_gpu_enumeration_info, handle)
    number = information.get("drm_render") if isinstance(information, dict) else None
    if not isinstance(number, int):
        return True
    try:
        os.close(os.open(RENDER_NODE.format(number), os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _serial(amdsmi: ModuleType, handle: Any) -> str:
    """Give what ROCm's variables name a device by, without its 0x."""
    information = _ask(amdsmi.amdsmi_get_gpu_asic_info, handle) or {}
    return str(information.get("asic_serial", "")).lower().removeprefix("0x")


def _read(amdsmi: ModuleType, handle: Any) -> Gpu:
    memory = _ask(amdsmi.amdsmi_get_gpu_vram_usage, handle) or {}
    power = _ask(amdsmi.amdsmi_get_power_info, handle) or {}
    used, total = _number(memory.get("vram_used")), _number(memory.get("vram_total"))
    sensor, metric = amdsmi.AmdSmiTemperatureType, amdsmi.AmdSmiTemperatureMetric
    name = (_ask(amdsmi.amdsmi_get_gpu_asic_info, handle) or {}).get("market_name", "AMD GPU")
    return Gpu(
        name=str(name),
        use_percent=_number((_ask(amdsmi.amdsmi_get_gpu_activity, handle) or {}).get("gfx_activity")),
        memory_used_bytes=None if used is None else used * MIB,
        memory_total_bytes=None if total is None else total * MIB,
        temperature_celsius=_number(_ask(amdsmi.amdsmi_get_temp_metric, handle, sensor.JUNCTION, metric.CURRENT)),
        # Newer GPUs tell the present power, older ones a mean.
        power_watts=_number(power.get("current_socket_power")) or _number(power.get("average_socket_power")),
    )


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _ask(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception:
        return None

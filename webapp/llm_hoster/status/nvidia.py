"""NVIDIA's GPUs and MIG slices, through NVML. The driver brings the library; where there is none, there is no GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

from llm_hoster.status.gpu import Gpu, chosen, visible_devices

VARIABLES = ("CUDA_VISIBLE_DEVICES",)

T = TypeVar("T")


@dataclass(frozen=True)
class Device:
    """`card` is the whole GPU: of a slice, only its card has a temperature."""

    handle: Any
    card: Any
    uuid: str
    name: str
    is_slice: bool = False


class NvidiaGpus:
    """The devices are looked up once: a job's GPUs do not change."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._names = visible_devices(environment, VARIABLES)
        self._devices: list[Device] | None = None

    def read(self) -> list[Gpu]:
        if self._names == []:
            return []
        try:
            if self._devices is None:
                pynvml.nvmlInit()
                self._devices = self._find()
        except pynvml.NVMLError:
            return []
        return [_read(device) for device in self._devices]

    def _find(self) -> list[Device]:
        cards = list(_cards())
        slices = [each for card in cards for each in _slices(card)]
        numbered = [_first_slice(card, slices) for card in cards]
        if self._names is not None and any(name.upper().startswith("MIG-") for name in self._names):
            numbered = slices
        return [numbered[index] for index in chosen(self._names, [device.uuid for device in numbered])]


def _cards() -> Iterator[Device]:
    """Those that may be used: NVML counts all of the node, and opens only those of the job's cgroup."""
    for index in range(pynvml.nvmlDeviceGetCount()):
        with contextlib.suppress(pynvml.NVMLError):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            yield Device(handle, handle, pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle))


def _slices(card: Device) -> Iterator[Device]:
    mode = _ask(pynvml.nvmlDeviceGetMigMode, card.handle)
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return
    for index in range(_ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, card.handle) or 0):
        with contextlib.suppress(pynvml.NVMLError):
            handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(card.handle, index)
            uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
            yield Device(handle, card.handle, uuid, name, is_slice=True)


def _first_slice(card: Device, slices: list[Device]) -> Device:
    """CUDA uses one slice of a card that is cut: the first that it may use."""
    return next((each for each in slices if each.card is card.handle), card)


def _read(device: Device) -> Gpu:
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, device.handle)
    # Of a card that is cut, these two would be those of other people's slices as well.
    use = None if device.is_slice else _ask(pynvml.nvmlDeviceGetUtilizationRates, device.handle)
    milliwatts = None if device.is_slice else _ask(pynvml.nvmlDeviceGetPowerUsage, device.handle)
    return Gpu(
        name=device.name,
        use_percent=None if use is None else int(use.gpu),
        memory_used_bytes=None if memory is None else int(memory.used),
        memory_total_bytes=None if memory is None else int(memory.total),
        temperature_celsius=_ask(pynvml.nvmlDeviceGetTemperature, device.card, pynvml.NVML_TEMPERATURE_GPU),
        power_watts=None if milliwatts is None else milliwatts / 1000,
    )


def _ask(function: Callable[..., T], *arguments: Any) -> T | None:
    try:
        return function(*arguments)
    except pynvml.NVMLError:
        return None

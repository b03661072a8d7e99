"""The GPUs' figures, from a small library in the place of the driver's, which Python loads as it loads the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.status.gpu import chosen, visible_devices
from llm_hoster.status.gpus import SessionGpus
from llm_hoster.status.reading import Reading

GIB = 1024**3
READ = """
import dataclasses, json
from llm_hoster.status.gpus import SessionGpus
print(json.dumps([dataclasses.asdict(gpu) for gpu in SessionGpus.of().read()]))
"""
# ROCm's module, as far as it is asked: three GPUs, of which the job's cgroup opens those with a render node.
AMDSMI = """
class AmdSmiTemperatureType: JUNCTION = 1
class AmdSmiTemperatureMetric: CURRENT = 0
GPUS = {"a": 300001, "b": None, "c": None}
def amdsmi_init(): pass
def amdsmi_get_processor_handles(): return list(GPUS)
def amdsmi_get_gpu_enumeration_info(gpu): return {"drm_render": GPUS[gpu] or "N/A"}
def amdsmi_get_gpu_asic_info(gpu): return {"asic_serial": f"0xABC{gpu.upper()}", "market_name": f"MI300 {gpu}"}
def amdsmi_get_gpu_activity(gpu): return {"gfx_activity": 88}
def amdsmi_get_gpu_vram_usage(gpu): return {"vram_used": 2048, "vram_total": 196608}
def amdsmi_get_power_info(gpu): return {"current_socket_power": "N/A", "average_socket_power": 450}
def amdsmi_get_temp_metric(gpu, sensor, metric):
    if gpu == "c": raise RuntimeError("this sensor is not there")
    return 71
"""

ReadGpus = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def read_gpus(gpu_driver: Path) -> ReadGpus:
    """Read as the pages do, in a process that finds the library where the driver's would be."""

    def read(cards: str, **variables: str) -> list[dict[str, Any]]:
        environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(gpu_driver), "NVML_CARDS": cards} | variables
        done = subprocess.run([sys.executable, "-c", READ], env=environment, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    return read


def names(gpus: list[dict[str, Any]]) -> list[str]:
    return [gpu["name"] for gpu in gpus]


def test_the_figures_of_a_card(read_gpus: ReadGpus) -> None:
    assert read_gpus("free free", CUDA_VISIBLE_DEVICES="1") == [
        {
            "name": "NVIDIA T1",
            "use_percent": 97,
            "memory_used_bytes": 2 * GIB,
            "memory_total_bytes": 80 * GIB,
            "temperature_celsius": 61,
            "power_watts": 312.5,
        }
    ]


def test_only_the_sessions_own_cards(read_gpus: ReadGpus) -> None:
    assert names(read_gpus("free free free", CUDA_VISIBLE_DEVICES="2,0")) == ["NVIDIA T2", "NVIDIA T0"]
    assert names(read_gpus("free free free", CUDA_VISIBLE_DEVICES="GPU-2222")) == ["NVIDIA T2"]


def test_numbers_count_what_the_jobs_cgroup_opens(read_gpus: ReadGpus) -> None:
    """Slurm numbers the job's own GPUs from 0 where it fences the others in."""
    assert names(read_gpus("forbidden free forbidden free", CUDA_VISIBLE_DEVICES="0,1")) == ["NVIDIA T1", "NVIDIA T3"]


def test_a_slice_by_its_uuid(read_gpus: ReadGpus) -> None:
    """Use and power are those of the whole card, on which others have slices too."""
    assert read_gpus("free cut", CUDA_VISIBLE_DEVICES="MIG-1111-b1") == [
        {
            "name": "NVIDIA T1 MIG 1g.5gb",
            "use_percent": None,
            "memory_used_bytes": 2 * GIB,
            "memory_total_bytes": 5 * GIB,
            "temperature_celsius": 61,
            "power_watts": None,
        }
    ]


def test_the_number_of_a_cut_card_means_its_first_slice(read_gpus: ReadGpus) -> None:
    [gpu] = read_gpus("cut", CUDA_VISIBLE_DEVICES="0")
    assert gpu["memory_total_bytes"] == 5 * GIB


def test_a_lost_card_has_no_figures_and_takes_none_from_others(read_gpus: ReadGpus) -> None:
    lost, other = read_gpus("lost free", CUDA_VISIBLE_DEVICES="0,1")
    assert set(lost.values()) == {"NVIDIA T0", None}
    assert other["use_percent"] == 97


def test_a_job_without_gpus_shows_nobodys(read_gpus: ReadGpus) -> None:
    assert read_gpus("free", SLURM_JOB_ID="1") == []
    assert read_gpus("free", SLURM_JOB_ID="1", CUDA_VISIBLE_DEVICES="NoDevFiles") == []
    assert names(read_gpus("free")) == ["NVIDIA T0"]


def test_without_a_driver_there_is_nothing() -> None:
    assert SessionGpus.of({}).read() == ()


def test_amd_gpus(tmp_path: Path) -> None:
    """ROCm's module lies in its own folder; values that it cannot tell are texts or exceptions."""
    folder = tmp_path / "share" / "amd_smi" / "amdsmi"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(AMDSMI)
    environment = {"PATH": os.environ["PATH"], "ROCM_PATH": str(tmp_path)}
    run = [sys.executable, "-c", READ]
    everything = json.loads(subprocess.check_output(run, env=environment))
    one = json.loads(subprocess.check_output(run, env=environment | {"ROCR_VISIBLE_DEVICES": "GPU-abcb"}))
    assert names(everything) == ["MI300 b", "MI300 c"]
    assert everything[1]["temperature_celsius"] is None
    assert one == [
        {
            "name": "MI300 b",
            "use_percent": 88,
            "memory_used_bytes": 2 * GIB,
            "memory_total_bytes": 192 * GIB,
            "temperature_celsius": 71,
            "power_watts": 450,
        }
    ]


def test_cuda_reads_its_variable_up_to_the_first_wrong_name() -> None:
    uuids = ["GPU-1a", "GPU-1b", "GPU-2"]
    assert chosen(["2", "GPU-1a"], uuids) == [2, 0]
    assert chosen(["1", "-1", "0"], uuids) == [1]
    assert chosen(["GPU-1"], uuids) == []  # of two
    assert chosen([""], uuids) == []
    assert visible_devices({"CUDA_VISIBLE_DEVICES": ""}, ["CUDA_VISIBLE_DEVICES"]) == []


def test_many_readers_are_one_reading() -> None:
    calls = []

    def read() -> int:
        calls.append(1)
        time.sleep(0.1)
        return len(calls)

    reading = Reading(read, 0)
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(reading.get())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 20
    assert reading.get() == 1


def test_a_driver_that_hangs_holds_nobody_up() -> None:
    released = threading.Event()

    def read() -> int:
        released.wait(30)
        return 1

    reading = Reading(read, 0)
    began = time.monotonic()
    try:
        assert reading.get() == 0
        assert time.monotonic() - began < 2
    finally:
        released.set()

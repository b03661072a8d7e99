"""Reading weights ahead: which files, in which order, how much, and when it stops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from llm_hoster.engine.job.job_memory import available_bytes
from llm_hoster.engine.model.page_cache import PageCache, reader_command
from llm_hoster.engine.model.read_ahead import ReadAhead
from llm_hoster.engine.model.weight_files import Part, weight_files
from tests.engine.conftest import wait_until

MIB = 2**20
GIB = 2**30


def make_model(folder: Path, names: list[str], size: int = MIB) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with (folder / name).open("wb") as file:
            file.write(os.urandom(size))
            os.fsync(file.fileno())
    return folder


def drop_pages(folder: Path) -> None:
    for path in weight_files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def is_cached(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return all(
            os.preadv(descriptor, [bytearray(1)], at, os.RWF_NOWAIT) for at in range(0, path.stat().st_size, 4096)
        )
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def names_of(folder: Path, part: Part | None = None) -> list[str]:
    return [path.name for path in (weight_files(folder, part) if part else weight_files(folder))]


def write_index(folder: Path, weight_map: dict[str, str], name: str = "model.safetensors.index.json") -> None:
    (folder / name).write_text(json.dumps({"weight_map": weight_map}))


def test_files_come_in_the_order_in_which_vllm_loads_them(tmp_path: Path) -> None:
    model = make_model(tmp_path, ["model-10.safetensors", "model-9.safetensors", "pytorch_model.bin"], size=1)

    assert names_of(model) == ["model-9.safetensors", "model-10.safetensors"]


def test_a_second_copy_of_the_weights_is_left_out(tmp_path: Path) -> None:
    model = make_model(tmp_path, ["model-1.safetensors", "left-over.safetensors"], size=1)
    write_index(model, {"model.layers.0.a": "model-1.safetensors"})
    assert names_of(model) == ["model-1.safetensors"]

    make_model(model, ["consolidated.safetensors"], size=1)
    assert names_of(model) == ["model-1.safetensors"]
    assert [path.name for path in weight_files(model, is_mistral=True)] == ["consolidated.safetensors"]


def test_an_index_that_is_none_and_a_pipe_hold_nothing_up(tmp_path: Path) -> None:
    model = make_model(tmp_path, ["model.safetensors"], size=1)
    os.mkfifo(model / "other.safetensors")
    for text in ("[]", "{", '{"weight_map": [1]}', "[" * 100_000):
        (model / "model.safetensors.index.json").write_text(text)
        assert names_of(model) == ["model.safetensors"]


def test_a_node_reads_the_files_of_its_own_layers(tmp_path: Path) -> None:
    names = [f"model-{number}.safetensors" for number in range(8)]
    model = make_model(tmp_path, names, size=1)
    write_index(model, {f"model.layers.{number}.mlp.up_proj.weight": name for number, name in enumerate(names)})

    assert names_of(model, Part(0, 2)) == names[:5]
    assert names_of(model, Part(1, 2)) == names[3:]


def test_what_is_on_the_disk_only_is_read_and_what_is_there_is_left_alone(tmp_path: Path) -> None:
    model = make_model(tmp_path, ["model-1.safetensors", "model-2.safetensors"], size=3 * MIB)
    drop_pages(model)
    command = reader_command(str(model), {}, num_gpus=0, on_gpu=True)
    assert command is not None

    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(is_cached(path) for path in weight_files(model)), first.stdout
    second = subprocess.run(command, capture_output=True, text=True, check=True)

    assert first.stdout.startswith("read 0.01 of 0.01 GiB into the page cache in ")
    assert second.stdout.startswith("read 0.00 of 0.01 GiB") and second.stdout.endswith(", 0.01 GiB were there\n")


def test_no_more_is_read_than_the_memory_holds(tmp_path: Path) -> None:
    model = make_model(tmp_path, ["model-1.safetensors", "model-2.safetensors", "model-3.safetensors"])
    drop_pages(model)
    cache = PageCache(limit_bytes=2 * MIB)

    cache.fill(weight_files(model))

    assert cache.read_bytes + cache.cached_bytes == 2 * MIB
    assert cache.gave_up == "the job's memory holds no more"


def test_a_file_that_is_gone_ends_it_with_a_sentence(tmp_path: Path) -> None:
    model = make_model(tmp_path, ["model-1.safetensors", "model-2.safetensors"])
    files = weight_files(model)
    files[1].unlink()
    cache = PageCache(limit_bytes=GIB)

    cache.fill(files)

    assert cache.gave_up == f"{files[1]} cannot be read (No such file or directory)"


def test_there_is_a_command_where_there_is_something_to_gain(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "abc"
    make_model(snapshot, ["model.safetensors"])
    environment = {"HF_HOME": str(tmp_path)}

    def command(source: str, load_format: str = "safetensors", on_gpu: bool = True) -> list[str] | None:
        return reader_command(source, environment, num_gpus=2, on_gpu=on_gpu, load_format=load_format)

    expected = [sys.executable, "-I", "-m", "llm_hoster.engine.model.page_cache", str(snapshot), "--leave-gib", "12"]
    assert command("owner/name") == expected
    assert command(str(snapshot), on_gpu=False) == [*expected, "--leave-weights"]
    assert command("owner/name", load_format="mistral") == [*expected, "--mistral"]
    assert command("owner/other") is None
    assert command(str(tmp_path / "none")) is None
    assert command("owner/name", load_format="instanttensor") is None


def make_machine(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    files |= {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable:   {100 * MIB} kB\n", "proc/self/cgroup": cgroup}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_memory_is_that_of_the_node_the_cgroups_and_slurm_whichever_is_least(tmp_path: Path) -> None:
    bare = make_machine(tmp_path / "bare", "", {})
    assert available_bytes({}, bare) == 100 * GIB
    assert available_bytes({"SLURM_MEM_PER_NODE": "20480"}, bare) == 20 * GIB
    assert available_bytes({"SLURM_MEM_PER_NODE": "0"}, bare) == 100 * GIB
    assert available_bytes({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "10"}, bare) == 10 * GIB

    job = "sys/fs/cgroup/system.slice/job_1"
    second = make_machine(
        tmp_path / "v2",
        "0::/system.slice/job_1/step_batch\n",
        {
            f"{job}/memory.max": f"{40 * GIB}\n",
            f"{job}/memory.current": f"{30 * GIB}\n",
            f"{job}/memory.stat": f"anon 1\nfile {25 * GIB}\nshmem {5 * GIB}\n",
            f"{job}/step_batch/memory.max": "max\n",
            f"{job}/step_batch/memory.current": "1\n",
            f"{job}/step_batch/memory.stat": "file 1\n",
        },
    )
    assert available_bytes({}, second) == 30 * GIB

    job = "sys/fs/cgroup/memory/slurm/job_1"
    first = make_machine(
        tmp_path / "v1",
        "4:cpu,memory:/slurm/job_1\n1:pids:/\n",
        {
            f"{job}/memory.limit_in_bytes": f"{40 * GIB}\n",
            f"{job}/memory.usage_in_bytes": f"{50 * GIB}\n",
            f"{job}/memory.stat": f"total_cache {20 * GIB}\ntotal_shmem 0\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
            "sys/fs/cgroup/memory/memory.stat": "\n",
        },
    )
    assert available_bytes({}, first) == 10 * GIB


def test_vllm_does_not_wait_for_it(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    model = make_model(tmp_path / "model", ["model.safetensors"])
    reading = ReadAhead(lambda: reader_command(str(model), {}, num_gpus=0, on_gpu=True), tmp_path)

    reading.start(lambda: None)

    assert reading.is_done
    wait_until(lambda: not reading.children[0].is_running)
    wait_until(lambda: "page cache: read " in capsys.readouterr().out)
    assert reading.failure is None


def test_where_there_is_nothing_to_read_there_is_no_process(tmp_path: Path) -> None:
    environment = {"HF_HOME": str(tmp_path)}
    reading = ReadAhead(lambda: reader_command("owner/name", environment, num_gpus=1, on_gpu=True), tmp_path)

    reading.start(lambda: None)

    assert reading.is_done and reading.children == []

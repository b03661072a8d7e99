"""A cluster of two nodes with a fake GPU each, and jobs on both of them."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.account import ALICE, BOB
from tests.cluster.slurm_cluster import SlurmCluster
from tests.conftest import ENGINE_NAME, REPOSITORY
from tests.end_to_end.conftest import python_homes

HERE = Path(__file__).parent
NODE_DIR = "/run/tmp"
SCRATCH = "/srv/scratch/alice"
PYTHON = str(Path(sys.prefix) / "bin" / "python")
# Two starts of vLLM on a machine with other work.
TEST_TIMEOUT_S = 600
# One line for each process of alice's in the network namespace where it runs.
PROCESSES = r"""
here=$(readlink /proc/self/ns/net)
for pid in $(pgrep -u alice); do
  [ "$(readlink "/proc/$pid/ns/net")" = "$here" ] && echo "$pid $(tr '\0\n' '  ' <"/proc/$pid/cmdline")"
done
true
"""
ENTRY_POINTS = "[vllm.platform_plugins]\ncpu_ray = cpu_ray_plugin:register\n"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            for name in ("slurm", "engine"):
                item.add_marker(name)
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))


@dataclass
class RayJob:
    """serve_job.py as alice's job on n1 and n2, seen from outside."""

    cluster: SlurmCluster
    folder: Path
    id: str

    @property
    def outside(self) -> Path:
        """The job's folder under the path by which the test, being outside of the cluster, reaches it."""
        return Path(f"/proc/{self.cluster.init_pid}/root") / self.folder.relative_to("/")

    def news(self) -> list[str]:
        path = self.outside / "news"
        return [line.partition(" ")[2] for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for(self, begin: str, timeout_s: float, *, after: int = 0) -> str:
        """Give the first news that begins so, of those that come after the first `after`."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = [line for line in self.news()[after:] if line.startswith(begin)]
            if found:
                return found[0]
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {begin}\n{self.explain()}"
            time.sleep(0.2)

    def start_again(self) -> int:
        """Have everything started again; give how many news there were before."""
        count = len(self.news())
        (self.outside / "again").touch()
        return count

    def explain(self) -> str:
        logs = [path for path in sorted(self.outside.glob("*")) if path.suffix in (".log", "") and path.is_file()]
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in logs)

    def processes(self, node: str) -> list[str]:
        """List alice's processes on a node, each with its number."""
        return self.cluster.check(["bash", "-c", PROCESSES], node=node).splitlines()

    def left_behind(self) -> list[str]:
        return [*self.files(), *self.processes("n1"), *self.processes("n2")]

    def files(self) -> list[str]:
        """List what a job may leave on a disk: folders of the nodes, shared memory, the token's file."""
        patterns = f"{NODE_DIR}/llmh-* /dev/shm/* /tmp/ray* {self.folder}/ray.json"
        return self.cluster.check(["bash", "-c", f"ls -d {patterns} 2>/dev/null; true"]).split()


RunJob = Callable[..., RayJob]


@pytest.fixture(scope="module")
def cluster(prefix: Path) -> Iterator[SlurmCluster]:
    with SlurmCluster(accounts=(ALICE, BOB), shared=[REPOSITORY, prefix, *python_homes(prefix)]) as cluster:
        shutil.copytree(HERE, cluster.folder / "ray", ignore=shutil.ignore_patterns("__pycache__"))
        information = cluster.folder / "ray" / "cpu_ray_plugin-1.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: cpu-ray-plugin\nVersion: 1\n")
        (information / "entry_points.txt").write_text(ENTRY_POINTS)
        yield cluster


def cpu_engine(cluster: SlurmCluster, prefix: Path) -> dict[str, Any]:
    """vLLM for CPU that lets itself be split by Ray: an engine's entry of the catalogue."""
    return {
        "name": ENGINE_NAME,
        "kind": "venv",
        "accelerator": "cpu",
        "args": [],
        "target": str(prefix / "engine" / ENGINE_NAME),
        "env": {
            "PYTHONPATH": str(cluster.folder / "ray"),
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
        },
    }


def submit(cluster: SlurmCluster, folder: Path, script: str) -> str:
    """Submit alice's job to both nodes, as OnDemand does: without an environment. Give its number."""
    options = [
        "--export=NONE",
        "--parsable",
        "--partition=gpu",
        "--nodes=2",
        "--gpus-per-node=fake:1",
        "--no-kill",
        "--no-requeue",
    ]
    # Of 8 GiB nothing would be left for reading weights ahead.
    options += ["--ntasks-per-node=1", "--cpus-per-task=2", "--mem=12G", f"--output={folder}/output.log"]
    text = f"#!/bin/bash\nexport PATH=/usr/bin:/bin\n{script}"
    return cluster.check(["sbatch", *options], user="alice", input=text).strip()


@pytest.fixture(scope="module")
def run_job(cluster: SlurmCluster, prefix: Path) -> RunJob:
    """Run serve_job.py, which starts Ray alone and tells what it sees."""

    def run(name: str) -> RayJob:
        folder = Path(SCRATCH) / name
        cluster.check(["mkdir", "-m", "700", str(folder)], user="alice")
        job = {"engine": cpu_engine(cluster, prefix), "node_dir": NODE_DIR}
        cluster.check(["tee", str(folder / "job.json")], user="alice", input=json.dumps(job))
        job_id = submit(cluster, folder, f"exec {PYTHON} {cluster.folder}/ray/serve_job.py {folder}\n")
        return RayJob(cluster, folder, job_id)

    return run

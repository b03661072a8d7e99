"""What comes before Ray runs: the job's nodes, their addresses, and a node on which Ray cannot start."""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.catalogue.compiled import Network
from llm_hoster.engine.cluster import ray_node
from llm_hoster.engine.cluster.nodes import EPHEMERAL_PORTS, JobNodes, address_of, free_port, read_job_nodes
from llm_hoster.engine.cluster.ray_cluster import (
    NODE_PROGRAM,
    PLAN_FILE,
    RayCluster,
    RayNodeWatch,
    make_ray_plan,
    ray_command,
)
from llm_hoster.engine.cluster.ray_node import (
    ALIVE,
    LOST,
    MARK,
    READ_AHEAD,
    STARTED,
    Head,
    RayPlan,
    ray_environment,
    start_arguments,
)
from llm_hoster.errors import SessionError
from llm_hoster.process_table import PROC
from tests.live_engine import wait_for

LOOPBACK = Network(interface="lo", private=False, env={"NCCL_IB_DISABLE": "1"})


def make_plan(folder: Path) -> RayPlan:
    return make_ray_plan(LOOPBACK, gpus_per_node=2, runtime_dir=folder, node_dir=folder)


def test_the_address_on_an_interface_is_found_and_a_wrong_one_is_named_with_those_there_are() -> None:
    assert address_of("lo") == "127.0.0.1"
    with pytest.raises(SessionError, match=r"no IPv4 address on ib7, the network.interface of site.yml.*are .*lo"):
        address_of("ib7")


def test_a_port_is_free_and_none_that_the_kernel_gives_away() -> None:
    first_of_kernel = int(EPHEMERAL_PORTS.read_text().split()[0])
    for _ in range(20):
        port = free_port("127.0.0.1")
        assert port < first_of_kernel
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))


def test_outside_of_slurm_there_are_no_nodes() -> None:
    with pytest.raises(SessionError, match="Slurm does not say which nodes this job has"):
        read_job_nodes({"PATH": os.environ["PATH"]})


def test_the_options_of_ray_open_nothing_fixed_and_carry_no_token(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    head = start_arguments(plan, tmp_path, "127.0.0.1", is_head=True)
    worker = start_arguments(plan, tmp_path, "127.0.0.1", is_head=False)
    assert f"--port={plan.address.partition(':')[2]}" in head and f"--address={plan.address}" in worker
    assert {"--min-worker-port=0", "--max-worker-port=0", "--num-gpus=2"} <= set(head) & set(worker)
    assert "--include-dashboard=false" in head
    assert not [word for word in [*head, *worker] if plan.token in word]
    assert plan.token not in repr(plan)


def test_the_environment_names_the_network_and_the_tokens_file(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    environment = ray_environment(plan, tmp_path, "10.0.0.1")
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == f"{tmp_path}/ray_token"
    assert (environment["VLLM_HOST_IP"], environment["NCCL_SOCKET_IFNAME"]) == ("10.0.0.1", "lo")
    assert environment["NCCL_IB_DISABLE"] == "1"
    assert plan.token not in " ".join(environment.values())


def test_ray_is_beside_vllm_in_every_kind_of_engine() -> None:
    assert ray_command(["/e/bin/vllm"]) == ["/e/bin/ray"]
    assert ray_command(["bash", "-lc", "vllm"]) == ["bash", "-lc", "ray"]


def test_a_node_on_which_ray_does_not_start_is_named(tmp_path: Path) -> None:
    news: queue.SimpleQueue[None] = queue.SimpleQueue()
    nodes, vllm = JobNodes("here", ("there",)), ["/no/such/engine/bin/vllm"]
    cluster = RayCluster(make_plan(tmp_path), nodes, vllm, dict(os.environ), cores=1, staged_root=tmp_path)
    cluster.start(lambda: news.put(None))
    assert stat.S_IMODE((tmp_path / PLAN_FILE).stat().st_mode) == 0o600

    def has_failed() -> bool:
        cluster.look()
        return cluster.failure is not None

    wait_for(has_failed, "Ray fails", timeout_s=20)
    assert cluster.failure is not None and not cluster.is_done
    assert cluster.failure.cause.startswith("Ray did not start on the node here: ")
    assert "/no/such/engine/bin/ray" in cluster.failure.cause
    assert not (tmp_path / PLAN_FILE).exists()
    wait_for(lambda: all(child.group_is_gone() for child in cluster.children), "all have ended")


def test_a_head_that_is_out_of_reach_is_lost_after_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_node, "HEAD_SILENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        head = Head(f"127.0.0.1:{listener.getsockname()[1]}")
        time.sleep(0.4)
        assert not head.is_lost()
    assert not head.is_lost()
    wait_for(head.is_lost, "the head is lost", timeout_s=2)


# It stands in Ray's place: the line that says that the node has joined, and a process of the name that is looked for.
SMALL_RAY = """#!/bin/sh
ln -s "$(command -v sleep)" "{folder}/raylet"
echo "Ray runtime started."
exec "{folder}/raylet" 60
"""


class NodeProgram:
    """The program of one node with its lines, up to the time when somebody ends it."""

    def __init__(self, folder: Path, role: str, reader: list[str]) -> None:
        ray, first = folder / "ray", folder / "first"
        ray.write_text(SMALL_RAY.format(folder=folder))
        ray.chmod(0o700)
        first.mkdir()
        plan = make_ray_plan(LOOPBACK, gpus_per_node=1, runtime_dir=first, node_dir=folder / "nodes", reader=reader)
        (folder / "nodes").mkdir()
        (folder / PLAN_FILE).write_text(dataclasses.replace(plan, ray=[str(ray)]).to_json())
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", NODE_PROGRAM, str(folder / PLAN_FILE), role],
            env=os.environ | {"RAY_ADDRESS": plan.address},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def line(self, begin: str) -> str:
        """Wait for the first that begins so."""
        assert self.process.stdout is not None
        while not any(line.startswith(begin) for line in self.lines):
            line = self.process.stdout.readline()
            assert line, self.lines
            self.lines.append(line.strip())
        return next(line.removeprefix(begin) for line in self.lines if line.startswith(begin))

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture
def node(short_dir: Path) -> Iterator[Callable[[str, list[str]], NodeProgram]]:
    started: list[NodeProgram] = []

    def start(role: str, reader: list[str]) -> NodeProgram:
        started.append(NodeProgram(short_dir, role, reader))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
        with each.process:
            pass


def test_another_node_reads_weights_ahead_and_ends_it_with_the_rest(node: Callable[..., NodeProgram]) -> None:
    other = node("worker", ["/bin/sh", "-c", 'echo "$$"; exec sleep 300'])

    pid = int(other.line(MARK + READ_AHEAD))
    other.line(MARK + STARTED)
    assert (PROC / str(pid)).exists()
    other.end()

    assert not (PROC / str(pid)).exists()


@pytest.mark.parametrize("reader", [["/no/such/reader"], ["/bin/sh", "-c", "echo a fault >&2; exit 1"]])
def test_a_reader_that_fails_harms_nobody(node: Callable[..., NodeProgram], reader: list[str]) -> None:
    other = node("worker", reader)

    assert other.line(MARK + READ_AHEAD)
    other.line(MARK + STARTED)
    other.line(MARK + ALIVE)
    other.end()

    assert other.process.returncode == 0 and not any(LOST in line for line in other.lines)


def test_the_first_node_has_a_reader_of_its_own(node: Callable[..., NodeProgram]) -> None:
    first = node("head", ["/bin/sh", "-c", "echo here"])

    first.line(MARK + STARTED)
    first.line(MARK + ALIVE)

    assert not any(READ_AHEAD in line for line in first.lines)


def test_what_is_read_on_another_node_is_told_in_the_jobs_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = RayNodeWatch("n2", tmp_path / "n2.log", lambda: None)

    watch.child.start(["/bin/sh", "-c", f"echo '{MARK}{READ_AHEAD}read 1 GiB'; sleep 60"], os.environ, cwd=tmp_path)

    wait_for(lambda: " page cache on n2: read 1 GiB\n" in capsys.readouterr().out, "it is told")
    watch.look(time.monotonic())
    assert watch.trouble is None
    watch.child.signal_group(signal.SIGKILL)
    wait_for(watch.child.group_is_gone, "it has ended")

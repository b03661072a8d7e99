"""What comes before Ray runs: the job's nodes, their addresses, and a node on which Ray cannot start."""

from __future__ import annotations

import os
import queue
import socket
import stat
import time
from pathlib import Path

import pytest

from llm_hoster.catalogue.compiled import Network
from llm_hoster.engine.cluster import ray_node
from llm_hoster.engine.cluster.nodes import EPHEMERAL_PORTS, JobNodes, address_of, free_port, read_job_nodes
from llm_hoster.engine.cluster.ray_cluster import PLAN_FILE, RayCluster, make_ray_plan, ray_command
from llm_hoster.engine.cluster.ray_node import Head, RayPlan, ray_environment, start_arguments
from llm_hoster.errors import SessionError
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

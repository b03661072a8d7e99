"""
A session on two nodes: `llm-hoster serve` as a job of real Slurm, with Ray and vLLM on CPU.

It answers, names what is lost and starts again, changes to a model that is split otherwise, and leaves nothing. One
job for all, because each start of vLLM over two nodes takes most of a minute.
"""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.engine.record.order import Order, give
from llm_hoster.engine.record.state import State, read_state
from llm_hoster.engine.vllm.connection import EnginePool
from tests.cluster.slurm_cluster import SlurmCluster
from tests.conftest import CATALOGUE, PASSWORD
from tests.live_engine import wait_for
from tests.ray.conftest import NODE_DIR, PYTHON, SCRATCH, RayJob, cpu_engine, submit

START_TIMEOUT_S = 240.0
NAMED_WITHIN_S = 60.0
QUESTION = {"messages": [{"role": "user", "content": "Say hello."}], "temperature": 0}
ANSWER = "<think></think>Hello! I am the tiny model of LLM Hoster."  # No parser takes the tags away here.
WITHIN_LAYERS = ["--tensor-parallel-size", "2", "--pipeline-parallel-size", "1"]


class RaySession(RayJob):
    """The job of one session; what it keeps on its first node is seen through the cluster's file system."""

    @property
    def runtime_dir(self) -> Path:
        (folder,) = Path(f"/proc/{self.cluster.init_pid}/root{NODE_DIR}").glob("llmh-*/state.json")
        return folder.parent

    def state(self) -> State | None:
        try:
            return read_state(self.runtime_dir / "state.json")
        except (OSError, ValueError):
            return None

    def wait_until(self, holds: Callable[[State], bool], timeout_s: float) -> State:
        deadline = time.monotonic() + timeout_s
        while True:
            state = self.state()
            if state is not None and holds(state):
                return state
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {state}\n{self.explain()}"
            time.sleep(0.2)

    def ask(self, model: str) -> str:
        answer = EnginePool(self.runtime_dir / "vllm.sock").request(
            "POST",
            "/v1/chat/completions",
            body=json.dumps(QUESTION | {"model": model}).encode(),
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        assert answer.status == 200, answer.data
        return str(json.loads(answer.data)["choices"][0]["message"]["content"])

    def raylets(self) -> list[str]:
        return [line.split()[0] for line in self.processes("n2") if "/raylet/raylet " in line]

    def has_workers(self) -> bool:
        return all(any("ray::RayWorkerProc" in line for line in self.processes(node)) for node in ("n1", "n2"))


@pytest.fixture(scope="module")
def session(cluster: SlurmCluster, prefix: Path) -> Iterator[RaySession]:
    folder = Path(SCRATCH) / "session"
    cluster.check(["mkdir", "-m", "700", str(folder)], user="alice")
    context = {"model": "tiny", "gpu_type": "fake", "num_gpus": "2", "bc_num_hours": "1"}
    staged = {"session.json": json.dumps({"context": context, "catalogue": catalogue(cluster, prefix)})}
    for name, text in (staged | {"secret": PASSWORD}).items():
        cluster.check(["tee", str(folder / name)], user="alice", input=text)
    session = RaySession(cluster, folder, submit(cluster, folder, f"cd {folder}\nexec {PYTHON} -m llm_hoster serve\n"))
    yield session
    cluster.run(["scancel", session.id], user="alice")


def catalogue(cluster: SlurmCluster, prefix: Path) -> dict[str, Any]:
    """Two nodes with a fake GPU each, and two models on them: one split by layers, one within layers."""
    made = copy.deepcopy(CATALOGUE)
    made["site"] |= {
        "prefix": str(prefix),
        "cache_dir": f"{SCRATCH}/cache",
        "data_dir": f"{SCRATCH}/data",
        "node_dir": NODE_DIR,
        "app": "dev",
        "network": {"interface": "eth0", "private": True, "env": {}},
    }
    engine = cpu_engine(cluster, prefix)
    made["engines"] = [engine]
    made["models"][0] |= {"source": str(prefix / "models" / "tiny"), "args": ["--enforce-eager"]}
    made["models"].append(
        {
            **made["models"][0],
            "name": "tiny-tp",
            "title": "Tiny model, split",
            "args": ["--enforce-eager", *WITHIN_LAYERS],
        }
    )
    made["gpu_types"][0] |= {"name": "fake", "title": "Fake GPU"}
    made["offers"] = {
        "fake": {"2": made["offers"]["cpu"]["1"] | {"nodes": 2, "gres": "gpu:fake:1", "partition": "gpu"}}
    }
    made["places"] = [("fake", "2")]
    fits = {"fake": {"2": made["fits"]["tiny"]["cpu"]["1"]}}
    made["fits"] = {"tiny": fits, "tiny-tp": fits}
    return made


def test_a_model_split_by_layers_answers_from_both_nodes(session: RaySession) -> None:
    state = session.wait_until(lambda state: state.state in ("ready", "failed"), START_TIMEOUT_S)
    assert [step.name for step in state.steps][:2] == ["ray", "start"], state.cause
    assert state.steps[0].detail == "2 of 2 nodes"
    assert session.has_workers()
    assert session.ask("tiny") == ANSWER


def test_each_node_has_read_the_weights_ahead_within_the_memory_of_its_job(session: RaySession) -> None:
    log = (session.outside / "output.log").read_text()
    for place in ("page cache", "page cache on n2"):
        assert re.search(
            rf" {place}: read [\d.]+ of [\d.]+ GiB into the page cache in [\d.]+ s, .* were there$", log, re.M
        )


def test_a_killed_raylet_is_named_and_the_engine_starts_again(session: RaySession) -> None:
    wait_for(lambda: session.raylets() != [], "Ray runs on n2", timeout_s=30)
    pids = session.raylets()
    session.cluster.check(["kill", "-KILL", *pids])
    state = session.wait_until(lambda state: state.state == "restarting", NAMED_WITHIN_S)
    assert state.cause is not None and state.cause.startswith("The node n2 was lost: Ray")
    session.wait_until(lambda state: state.state == "ready", START_TIMEOUT_S)
    assert session.ask("tiny") == ANSWER


@pytest.mark.soak
def test_the_session_changes_to_a_model_that_is_split_within_layers(session: RaySession) -> None:
    session.wait_until(lambda state: state.state == "ready", START_TIMEOUT_S)  # Alone, it is the first of the session.
    give(session.runtime_dir / "control.sock", Order("switch", {"model": "tiny-tp"}))
    session.wait_until(lambda state: state.state == "ready" and state.model.name == "tiny-tp", START_TIMEOUT_S)
    assert session.has_workers()
    assert session.ask("tiny-tp") == ANSWER


def test_cancelling_leaves_nothing_on_either_node(session: RaySession) -> None:
    session.cluster.check(["scancel", session.id], user="alice")
    session.cluster.wait_for_job_end(session.id, 60)
    wait_for(lambda: session.left_behind() == [], f"nothing is left: {session.left_behind()}", timeout_s=30)

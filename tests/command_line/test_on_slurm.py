"""A session's life by the command line alone, on a real Slurm and with vLLM: no portal has a part in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.account import ALICE, BOB
from tests.cluster.slurm_cluster import SlurmCluster
from tests.conftest import REPOSITORY
from tests.end_to_end.conftest import python_homes
from tests.end_to_end.site_app import make_site_app

pytestmark = [pytest.mark.slurm, pytest.mark.engine, pytest.mark.timeout(300)]
PYTHON = str(Path(sys.prefix) / "bin" / "python")
START_S = 200.0


@dataclass(frozen=True)
class Shell:
    """Alice's, on the login node."""

    cluster: SlurmCluster
    app: Path

    def run(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        environment = {"PYTHONPATH": str(REPOSITORY / "webapp"), "LLM_HOSTER_APP": str(self.app)}
        command = [PYTHON, "-m", "llm_hoster", *arguments]
        return self.cluster.run(command, user="alice", env=environment, timeout_s=timeout_s)

    def document(self, *arguments: str, timeout_s: float = 60.0) -> Any:
        done = self.run(*arguments, "--json", timeout_s=timeout_s)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.cluster.read_logs()}"
        return json.loads(done.stdout)

    def read(self, path: str) -> str:
        return (Path(f"/proc/{self.cluster.init_pid}/root") / path.lstrip("/")).read_text()


@pytest.fixture(scope="module")
def shell(prefix: Path) -> Iterator[Shell]:
    with SlurmCluster(accounts=(ALICE, BOB), shared=[REPOSITORY, prefix, *python_homes(prefix)]) as cluster:
        yield Shell(cluster, make_site_app(cluster.folder, prefix))


@pytest.fixture(scope="module")
def launched(shell: Shell) -> dict[str, Any]:
    """The one that serves, started as a person does who waits for it."""
    options = ("--model", "tiny", "--gpu", "cpu", "--hours", "1", "--account", "ucb-general")
    document: dict[str, Any] = shell.document("launch", *options, "--yes", "--wait", timeout_s=START_S)
    return document


def test_a_launched_session_answers(shell: Shell, launched: dict[str, Any]) -> None:
    assert launched["state"] == "ready"
    endpoint = json.loads(shell.read(f"{launched['folder']}/endpoint.json"))
    question = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Say hello."}]})
    # The key is told on stdin: nobody sees it among the node's processes.
    words = ["curl", "--silent", "--fail-with-body", "--config", "-", "--data", question]
    config = f'header = "Authorization: Bearer {endpoint["api_key"]}"\nheader = "Content-Type: application/json"\n'
    words.append(f"{launched['base_url']}/chat/completions")
    answer = json.loads(shell.cluster.check(words, user="bob", input=config))
    assert answer["choices"][0]["message"]["content"] == "Hello! I am the tiny model of LLM Hoster."


def test_it_is_listed_with_its_job_and_node(shell: Shell, launched: dict[str, Any]) -> None:
    [row] = shell.document("list")
    assert (row["session_id"], row["job_id"]) == (launched["session_id"], launched["job_id"])
    assert (row["model"], row["gpu"], row["state"]) == ("tiny", "1 x cpu", "ready")
    assert row["address"] == launched["base_url"]
    assert row["node"] == shell.cluster.check(["squeue", "-h", "-o", "%N"]).strip()
    assert 3400 < row["time_left_s"] <= 3660
    lines = shell.run("list").stdout.splitlines()
    assert lines[0].split()[:3] == ["SESSION", "JOB", "MODEL"]
    assert lines[1].startswith(f"{launched['session_id'][:8]}  {launched['job_id']}")


def test_no_secret_is_in_an_argument(shell: Shell, launched: dict[str, Any]) -> None:
    endpoint = json.loads(shell.read(f"{launched['folder']}/endpoint.json"))
    secret = shell.read(f"{launched['folder']}/secret")
    seen = shell.cluster.check(["ps", "-ww", "-eo", "args"], node=shell.document("list")[0]["node"])
    assert "llm_hoster" in seen or "llm-hoster" in seen
    assert secret not in seen
    assert endpoint["api_key"] not in seen
    assert len(secret) == 32


def test_its_logs_are_read(shell: Shell, launched: dict[str, Any]) -> None:
    name = launched["session_id"][:8]
    assert "ready" in shell.run("logs", name).stdout
    assert "Application startup complete" in shell.run("logs", "--engine").stdout
    assert len(shell.run("logs", name, "--engine", "-n", "3").stdout.splitlines()) == 3


def test_one_that_waits_leaves_the_queue_and_costs_nothing(shell: Shell, launched: dict[str, Any]) -> None:
    shell.cluster.check(["scontrol", "update", "PartitionName=gpu", "State=DOWN"])
    waiting = shell.document("launch", "--model", "tiny", "--gpu", "fake", "--yes")
    rows = {row["session_id"]: row for row in shell.document("list")}
    assert rows[waiting["session_id"]]["state"] == "waiting (PartitionDown)"
    assert rows[waiting["session_id"]]["job_id"] == waiting["job_id"]
    assert rows[launched["session_id"]]["state"] == "ready"

    ended = shell.document("stop", waiting["session_id"][:13], "--yes")
    assert (ended["has_ended"], ended["su_used"]) == (True, 0.0)
    assert shell.cluster.read_job_state(waiting["job_id"]) == "CANCELLED"
    rows = {row["session_id"]: row for row in shell.document("list")}
    assert rows[waiting["session_id"]]["state"] == "ended"


def test_one_whose_job_was_cancelled_in_the_queue_has_ended(shell: Shell, launched: dict[str, Any]) -> None:
    """By scancel itself: nothing in its folder says so."""
    shell.cluster.check(["scontrol", "update", "PartitionName=gpu", "State=DOWN"])
    waiting = shell.document("launch", "--model", "tiny", "--gpu", "fake", "--yes")
    shell.cluster.check(["scancel", waiting["job_id"]], user="alice")
    assert shell.cluster.wait_for_job_end(waiting["job_id"]) == "CANCELLED"
    rows = {row["session_id"]: row for row in shell.document("list")}
    assert rows[waiting["session_id"]]["state"] == "ended"
    assert shell.document("list", "--running")[0]["session_id"] == launched["session_id"]


def test_it_is_stopped_as_from_its_page_and_says_what_it_cost(shell: Shell, launched: dict[str, Any]) -> None:
    done = shell.run("stop", launched["session_id"], "--yes", timeout_s=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Session {launched['session_id']} has ended and has used 0.")
    assert "SU. " in done.stdout
    assert shell.cluster.wait_for_job_end(launched["job_id"], 60) in ("COMPLETED", "CANCELLED")
    again = shell.run("stop", launched["session_id"], "--yes")
    assert (again.returncode, again.stderr) == (
        1,
        f"llm-hoster: Session {launched['session_id']} has ended already.\n",
    )
    assert shell.run("logs").returncode == 3

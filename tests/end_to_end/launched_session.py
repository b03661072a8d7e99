"""A session that was launched through the portal's form, seen from outside: its files, its job and its engine."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.cluster.slurm_cluster import SlurmCluster
from tests.end_to_end.site_app import NODE_DIR

FoundT = TypeVar("FoundT")
CONNECT_TIMEOUT_S = 120.0
# Four engines start at once, on a machine that may be slow or have other work.
READY_TIMEOUT_S = 480.0


@dataclass
class LaunchedSession:
    """`root` is the cluster's file system as the test, being root outside of it, may read it."""

    cluster: SlurmCluster
    id: str
    job_id: str
    staged_root: Path

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.cluster.init_pid}/root")

    def outside(self, path: Path) -> Path:
        """Give the path under which the test itself reaches a path of the cluster."""
        return self.root / path.relative_to("/")

    @cached_property
    def connection(self) -> dict[str, Any]:
        """Wait for connection.yml, the file that makes the card's Connect button."""
        path = self.outside(self.staged_root / "connection.yml")
        wait_for("connection.yml", lambda: path.exists() and path.read_text(), CONNECT_TIMEOUT_S, self.explain)
        connection: dict[str, Any] = yaml.safe_load(path.read_text())
        return connection

    @cached_property
    def card(self) -> dict[str, Any]:
        card: dict[str, Any] = json.loads(base64.b64decode(self.connection["card"]))
        return card

    @property
    def host(self) -> str:
        return str(self.card["host"])

    @property
    def port(self) -> int:
        return int(self.card["port"])

    @property
    def secret(self) -> str:
        return str(self.connection["password"])

    @cached_property
    def endpoint(self) -> dict[str, str]:
        endpoint: dict[str, str] = json.loads(self.outside(Path(self.card["endpoint_file"])).read_text())
        return endpoint

    @cached_property
    def runtime_dir(self) -> Path:
        """Find the node-local folder, by the port that its settings name."""
        for found in (self.root / NODE_DIR.lstrip("/")).glob("llmh-*/settings.json"):
            if json.loads(found.read_text())["port"] == self.port:
                return Path("/") / found.parent.relative_to(self.root)
        raise AssertionError(f"no runtime folder has port {self.port}\n{self.explain()}")

    def read_state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.outside(self.runtime_dir / "state.json").read_text())
        return state

    def wait_until(self, state: str) -> dict[str, Any]:
        """Wait until the engine's state is `state`."""

        def look() -> dict[str, Any] | None:
            now = self.read_state()
            assert now["state"] in {state, "starting"}, f"{now}\n{self.explain()}"
            return now if now["state"] == state else None

        return wait_for(f"the state {state}", look, READY_TIMEOUT_S, self.explain)

    def wait_until_ready(self) -> LaunchedSession:
        self.wait_until("ready")
        return self

    def read_outcome(self) -> dict[str, Any]:
        outcome: dict[str, Any] = json.loads(self.outside(self.staged_root / "outcome.json").read_text())
        return outcome

    def count_running_requests(self) -> float:
        """Ask vLLM itself, through its socket, as the owner."""
        program = f"curl --silent --unix-socket {self.runtime_dir}/vllm.sock http://vllm/metrics"
        for line in self.cluster.check(["sh", "-c", program], user="alice").splitlines():
            if line.startswith("vllm:num_requests_running"):
                return float(line.rpartition(" ")[2])
        raise AssertionError("vLLM told no number of running requests")

    def list_processes(self) -> list[str]:
        """List the command lines of the job's processes, known by the job's number in their environment.

        One that was started with an empty environment is known by the session's folder in its arguments.
        """
        folder_name = str(self.runtime_dir).encode()
        found = []
        for folder in (self.root / "proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            if f"SLURM_JOB_ID={self.job_id}".encode() in environment or folder_name in command:
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        return found

    def explain(self) -> str:
        """Collect what a failed wait should show."""
        parts = []
        for name in ("output.log", "web.log", "vllm.log"):
            path = self.outside(self.staged_root / name)
            if path.exists():
                parts.append(f"--- {name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-40:]))
        return "\n".join([*parts, self.cluster.run(["squeue", "--states=all"]).stdout])


@dataclass(frozen=True)
class Launched:
    """The sessions that all tests share; conftest.py says what each is for."""

    main: LaunchedSession
    second: LaunchedSession
    dead: LaunchedSession
    absent: LaunchedSession

    @property
    def all(self) -> tuple[LaunchedSession, ...]:
        return (self.main, self.second, self.dead, self.absent)


def wait_for(what: str, look: Callable[[], FoundT | None], timeout_s: float, explain: Callable[[], str]) -> FoundT:
    """Look four times a second until something true is found; fail with `explain` when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}\n{explain()}"
        time.sleep(0.25)

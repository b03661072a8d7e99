"""Real sessions for the tests of the node side: `llm-hoster serve` with vLLM, or with a small program in its place."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.engine.model.compile_cache import FOLDER, VARIABLES
from llm_hoster.engine.record.state import State, read_state
from tests.conftest import ENGINE_NAME, vllm_cache

# vLLM's folder for what it has found out of a model's class.
MODELS = "modelinfos"


class RunningSession:
    """`llm-hoster serve` in a staged folder, started as script.sh starts it."""

    def __init__(
        self, staged_root: Path, node_dir: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.staged_root = staged_root
        self.node_dir = node_dir
        self.home = staged_root.parent / "home"
        self.home.mkdir()
        inherited = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"}
        own = {"HOME": str(self.home), "LLM_HOSTER_HOST": "localhost", "LLM_HOSTER_TEST": str(node_dir)}
        self.output = staged_root / "output.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "llm_hoster", "serve", *arguments],
                cwd=staged_root,
                env=inherited | own | dict(environment or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_for_port(self) -> int:
        wait_until(lambda: (self.staged_root / "port").exists() or self.process.poll() is not None)
        return int((self.staged_root / "port").read_text())

    def wait_for_state(self, name: str, timeout_s: float = 20) -> State:
        wait_until(lambda: self.state() is not None and self.state().state == name, timeout_s)  # type: ignore[union-attr]
        state = self.state()
        assert state is not None
        return state

    def state(self) -> State | None:
        for path in self.node_dir.glob("llmh-*/state.json"):
            return read_state(path)
        return None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def outcome(self) -> dict[str, Any]:
        return json.loads((self.staged_root / "outcome.json").read_text())  # type: ignore[no-any-return]

    def card(self) -> dict[str, Any]:
        return json.loads(base64.b64decode((self.staged_root / "card").read_text()))  # type: ignore[no-any-return]

    def processes(self) -> dict[int, str]:
        """Find every process of the session, whoever its parent is now: all know the node's folder."""
        marker = str(self.node_dir).encode()
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                command = (folder / "cmdline").read_bytes()
                if folder.name.isdigit() and marker in command + (folder / "environ").read_bytes():
                    found[int(folder.name)] = command.replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found


def wait_until(condition: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def remember_models(cache_dir: Path) -> None:
    """Give a user what an earlier session of theirs has found out of the models: vLLM starts the sooner."""
    own = cache_dir
    for part in (FOLDER, ENGINE_NAME, "cpu", VARIABLES["VLLM_CACHE_ROOT"]):
        own = own / part
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (vllm_cache() / MODELS).is_dir():
        shutil.copytree(vllm_cache() / MODELS, own / MODELS)


@pytest.fixture
def start_session(
    staged_root: Path, short_dir: Path, make_catalogue: Callable[..., dict[str, Any]], tmp_path: Path
) -> Iterator[Callable[..., RunningSession]]:
    """
    Start a session: `start_session(program="...")` with a Python program as vLLM, or with the real one.

    `context` has values of the form, `environment` more variables; other keyword arguments are those of make_catalogue.
    Where it `is_first`, the user has had no session before.
    """
    sessions = []

    def start(
        program: str | None = None,
        arguments: tuple[str, ...] = (),
        context: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
        is_first: bool = False,
        **changes: Any,
    ) -> RunningSession:
        changes["site"] = {"node_dir": str(short_dir)} | changes.get("site", {})
        if program is not None:
            vllm = tmp_path / "engine" / "bin" / "vllm"
            vllm.parent.mkdir(parents=True)
            vllm.write_text(f"#!{sys.executable}\n{program}")
            vllm.chmod(0o755)
            changes["engine"] = {"target": str(tmp_path / "engine")} | changes.get("engine", {})
        elif not is_first:
            remember_models(tmp_path / "cache")
        document = json.loads((staged_root / "session.json").read_text())
        document["catalogue"] = make_catalogue(**changes)
        document["context"] |= context or {}
        (staged_root / "session.json").write_text(json.dumps(document))
        sessions.append(RunningSession(staged_root, short_dir, *arguments, environment=environment))
        return sessions[-1]

    yield start
    for session in sessions:
        if session.process.poll() is None:
            session.stop()

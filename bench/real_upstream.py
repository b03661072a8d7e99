"""vLLM on CPU with the tiny model, on a unix socket, as the bench asks it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click
from urllib3.exceptions import HTTPError

from llm_hoster.engine.vllm.connection import EnginePool

PREFIX = Path(__file__).resolve().parent.parent / ".venv"
START_TIMEOUT_S = 240.0
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}


@contextlib.contextmanager
def real_upstream(socket_path: Path, folder: Path) -> Iterator[None]:
    """Start it, wait until it is healthy, and end it with all that it has started."""
    program = next((PREFIX / "engine").glob("*/bin/vllm"))
    command = [program, "serve", PREFIX / "models" / "tiny", "--uds", socket_path]
    command += ["--served-model-name", "tiny", "--enforce-eager", "--distributed-executor-backend", "uni"]
    log_path = folder / "vllm.log"
    places = {"TMPDIR": str(folder), "VLLM_RPC_BASE_PATH": str(folder), "VLLM_CACHE_ROOT": str(folder / "cache")}
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - what bin/install has installed
            [str(word) for word in command],
            env={**os.environ, **ENVIRONMENT, **places},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_healthy(socket_path):
            if process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"vLLM did not start:\n{log_path.read_text()[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def is_healthy(socket_path: Path) -> bool:
    try:
        return EnginePool(socket_path).request("GET", "/health", timeout=2).status == 200
    except (HTTPError, OSError):
        return False

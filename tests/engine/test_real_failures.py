"""
Real vLLM on broken or ill-fitting models: the sentence, the deciding line and the offered setting.

Of each, only its death is needed, so they run two at a time. What else vLLM says when it dies is recorded in logs/.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llm_hoster.engine.failures.failure import Failure, explain
from llm_hoster.engine.process.child import LINE_END
from llm_hoster.engine.record.adjustment import Adjustment
from tests.conftest import vllm_cache
from tests.live_engine import ARGUMENTS, ENGINE_NAME, ENVIRONMENT

pytestmark = [pytest.mark.engine, pytest.mark.soak]
TIMEOUT_S = 150.0
MILLIONS_OF_TOKENS = 8 * 1024 * 1024


def test_what_vllm_dies_of_is_told_and_what_is_offered_helps(prefix: Path, tiny_model: Path, short_dir: Path) -> None:
    damaged, long = (Path(shutil.copytree(tiny_model, short_dir / name)) for name in ("damaged", "long"))
    weights = bytearray((damaged / "model.safetensors").read_bytes())
    (damaged / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    config = json.loads((long / "config.json").read_text())
    (long / "config.json").write_text(json.dumps(config | {"max_position_embeddings": MILLIONS_OF_TOKENS}))

    runs = {
        "path": [str(short_dir / "none")],
        "context": [str(tiny_model), "--max-model-len", "100000"],
        "damaged": [str(damaged)],
        "kv_cache": [str(long)],
    }
    with ThreadPoolExecutor(2) as pool:
        found = dict(
            zip(runs, pool.map(lambda name: run(prefix, short_dir / f"{name}.d", runs[name]), runs), strict=True)
        )

    assert found["path"].cause.startswith(f"The model folder {short_dir}/none does not exist on this node")
    assert found["damaged"].cause.startswith("The model's weight files are missing or incomplete.")
    assert found["context"].cause.startswith("The context length 100000 is more than this model can do, which is 2048.")
    assert found["context"].remedy is not None
    assert found["context"].remedy.adjustment == Adjustment(max_model_len=2048)
    assert found["kv_cache"].cause.startswith("The memory holds the model but not one conversation of 8388608 tokens")
    remedy = found["kv_cache"].remedy
    assert remedy is not None
    assert "up" in run(prefix, short_dir / "again.d", [str(long), *remedy.adjustment.arguments()]).cause


def run(prefix: Path, folder: Path, arguments: list[str]) -> Failure:
    """Start vLLM until it has died, or is up, which is no failure but said as one."""
    folder.mkdir()
    command = [prefix / "engine" / ENGINE_NAME / "bin" / "vllm", "serve", *arguments, "--uds", folder / "s", *ARGUMENTS]
    environment = os.environ | ENVIRONMENT | {
        "TMPDIR": str(folder), "VLLM_RPC_BASE_PATH": str(folder), "VLLM_CACHE_ROOT": str(vllm_cache())
    }  # fmt: skip
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*map(str, command)], env=environment, stdout=file, stderr=file, start_new_session=True
        )
    deadline = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if b"Application startup complete" in log.read_bytes():
            process.terminate()
            process.wait(30)
            return Failure("It is up.", None)
        time.sleep(0.2)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    lines = [line.decode(errors="replace") for line in LINE_END.split(log.read_bytes()) if line.strip()]
    return explain(lines, process.wait(30))

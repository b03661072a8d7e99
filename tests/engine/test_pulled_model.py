"""Real vLLM and a model that `models pull` has fetched: it is loaded offline, here as one for embeddings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from llm_hoster.engine.model.download import Download, find_source
from llm_hoster.engine.vllm.connection import EnginePool
from tests.conftest import vllm_cache
from tests.engine.conftest import wait_until
from tests.live_engine import ENGINE_NAME, ENVIRONMENT, START_TIMEOUT_S
from tests.models_command.download_hub import download_hub

pytestmark = pytest.mark.engine
MODEL = "org/model"


def test_vllm_loads_what_pull_has_fetched_and_gives_embeddings(prefix: Path, tiny_model: Path, tmp_path: Path) -> None:
    source = pull(tiny_model, tmp_path)
    with tempfile.TemporaryDirectory(prefix="llmt-", dir="/tmp") as name:
        socket_path, log_path = Path(name) / "vllm.sock", Path(name) / "vllm.log"
        vllm = prefix / "engine" / ENGINE_NAME / "bin" / "vllm"
        command = [vllm, "serve", source, "--served-model-name", "m", "--uds", socket_path]
        options = ["--enforce-eager", "--load-format", "safetensors", "--runner", "pooling"]
        ours = {"TMPDIR": name, "VLLM_CACHE_ROOT": str(vllm_cache()), "HF_HOME": f"{name}/hf", "HF_HUB_OFFLINE": "1"}
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [*map(str, command), *options],
                env=os.environ | ENVIRONMENT | ours,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(lambda: process.poll() is not None or answers(socket_path), START_TIMEOUT_S)
            assert process.poll() is None, log_path.read_text()[-3000:]
            answer = EnginePool(socket_path).request(
                "POST",
                "/v1/embeddings",
                body=json.dumps({"model": "m", "input": ["a", "b"]}),
                headers={"Content-Type": "application/json"},
                timeout=60,
            )
            assert answer.status == 200, answer.data
            assert [len(each["embedding"]) > 8 for each in json.loads(answer.data)["data"]] == [True, True]
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def test_the_engines_own_library_finds_it_by_its_id(prefix: Path, tiny_model: Path, tmp_path: Path) -> None:
    source = pull(tiny_model, tmp_path)
    program = f"import huggingface_hub as hub; print(hub.snapshot_download({MODEL!r}), hub.scan_cache_dir().warnings)"
    python = prefix / "engine" / ENGINE_NAME / "bin" / "python"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    found = subprocess.run([python, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"{source} []"


def pull(model: Path, folder: Path) -> str:
    """Serve a model's folder as a hub does, fetch it from there, and give where it lies then."""
    with download_hub() as hub:
        hub.files = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
        environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0"}
        download = Download(MODEL, environment, folder / "download.log", cwd=folder)
        download.start(lambda: None)
        wait_until(lambda: download.look() or download.is_done or download.failure)
        assert download.failure is None
    source = find_source(MODEL, [folder / "hf" / "hub"])
    assert source.startswith("/")
    return source


def answers(socket_path: Path) -> bool:
    try:
        return EnginePool(socket_path).request("GET", "/health", timeout=2).status == 200
    except Exception:
        return False

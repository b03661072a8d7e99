"""
Real vLLM under the supervisor: from the start to a reply and a clean end, and a dead start.

Each needs a vLLM of its own, which takes half a minute. All else is asked of the one in tests/live_engine.py, or of
small programs in vLLM's place.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_hoster.engine.vllm.connection import EnginePool
from tests.engine.conftest import wait_until
from tests.engine.small_adapter import write_adapter

pytestmark = pytest.mark.engine
START_TIMEOUT_S = 240


def test_vllm_starts_answers_and_ends_without_a_trace_and_without_the_home_folder(
    start_session, prefix, tiny_model, tmp_path
):
    chosen = {
        "context_length": "1024",
        "preset": "long-context",
        "lora_folder": str(write_adapters(tmp_path / "loras")),
    }
    session = start_session(context=chosen, is_first=True)
    session.wait_for_port()
    state = session.wait_for_state("ready", START_TIMEOUT_S)
    assert [(step.name, step.status) for step in state.steps] == [
        (name, "done") for name in ("start", "weights", "kv_cache", "ready")
    ]
    runtime_dir = next(session.node_dir.glob("llmh-*"))
    models = ask(runtime_dir, "GET", "/v1/models")["data"]
    assert [(model["id"], model["max_model_len"]) for model in models] == [
        ("tiny", 1024),
        ("law", None),
        ("physics", None),
    ]
    for name in ("tiny", "law", "physics"):
        body = {"model": name, "messages": [{"role": "user", "content": "Say hello."}], "temperature": 0}
        message = ask(runtime_dir, "POST", "/v1/chat/completions", body)["choices"][0]["message"]
        assert message["content"] == "Hello! I am the tiny model of LLM Hoster."
    assert session.stop() == 0
    wait_until(lambda: not session.processes(), timeout_s=5)
    assert list(session.node_dir.iterdir()) == []
    assert list(session.home.rglob("*")) == []
    assert list((tmp_path / "cache" / "compiled").glob("*/cpu/vllm*"))


def ask(runtime_dir, method, path, body=None):
    answer = EnginePool(runtime_dir / "vllm.sock").request(
        method, path, body=json.dumps(body), headers={"Content-Type": "application/json"}, timeout=60
    )
    return json.loads(answer.data)


def write_adapters(folder: Path) -> Path:
    """Two of different ranks, which change nothing."""
    write_adapter(folder / "law", 8)
    write_adapter(folder / "physics", 20)
    return folder


def test_a_model_that_is_not_there_is_told_in_a_sentence(start_session, prefix):
    session = start_session(model={"source": "/no/such 'model'"})
    state = session.wait_for_state("failed", START_TIMEOUT_S)
    assert state.cause.startswith(
        "The model folder /no/such 'model' does not exist on this node, or you may not read it."
    )
    assert state.deciding_line.startswith("huggingface_hub.errors.HFValidationError: Repo id must be")
    assert session.stop() == 0
    assert list(session.node_dir.iterdir()) == []

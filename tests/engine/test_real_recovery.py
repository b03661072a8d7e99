"""
Real vLLM that is killed, and hangs: one session, and after each blow it must serve again.

A start takes half a minute, so that all blows to a serving vLLM share one session.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.conftest import RunningSession, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.soak]
START_TIMEOUT_S = 240
SEPARATE_CORE = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
# Many seconds of work, also where the model is tiny and the machine quick.
LONG = {"max_tokens": 2000, "ignore_eos": True, "stream": True, "n": 16, "temperature": 1}


def test_vllm_comes_back_after_each_blow(start_session):
    session = start_session(engine={"env": SEPARATE_CORE}, arguments=("--hang", "15"))
    session.wait_for_port()
    session.wait_for_state("ready", START_TIMEOUT_S)
    assert say_hello(session) == "Hello! I am the tiny model of LLM Hoster."

    vllm = pid_of(session, "bin/vllm")
    stream = ask(session, **LONG)
    next(stream)
    os.kill(vllm, signal.SIGKILL)
    assert_cut(stream)
    assert_serving_again(session, restarts=1)

    os.kill(pid_of(session, "VLLM::EngineCore"), signal.SIGKILL)
    assert_serving_again(session, restarts=2)
    assert "engine process ended without a word" in restart_cause(session)

    os.kill(pid_of(session, "VLLM::EngineCore"), signal.SIGSTOP)
    assert_serving_again(session, restarts=3)
    assert "The engine hangs." in restart_cause(session)

    assert session.stop() == 0
    wait_until(lambda: not session.processes(), timeout_s=5)
    assert list(session.node_dir.iterdir()) == []


def pid_of(session: RunningSession, word: str) -> int:
    return next(pid for pid, command in session.processes().items() if word in command)


def assert_serving_again(session: RunningSession, *, restarts: int) -> None:
    def serves_again() -> bool:
        state = session.state()
        return state is not None and state.restarts == restarts and state.state == "ready"

    wait_until(serves_again, START_TIMEOUT_S)
    assert say_hello(session) == "Hello! I am the tiny model of LLM Hoster."


def restart_cause(session: RunningSession) -> str:
    state = session.state()
    assert state is not None
    return [each.cause or "" for each in state.transitions if each.after == "restarting"][-1]


def say_hello(session: RunningSession) -> str:
    answer = "".join(ask(session, temperature=0))
    return str(json.loads(answer)["choices"][0]["message"]["content"])


def assert_cut(stream: Iterator[str]) -> None:
    """What has come is kept; the end is an end, and nobody waits for ever."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        assert "data: [DONE]" not in "".join(stream)


def ask(session: RunningSession, **more: Any) -> Iterator[str]:
    endpoint = json.loads((session.staged_root / "endpoint.json").read_text())
    body = {"model": endpoint["model"], "messages": [{"role": "user", "content": "Say hello."}], **more}
    request = urllib.request.Request(
        f"http://127.0.0.1:{session.wait_for_port()}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {endpoint['api_key']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        for line in answer:
            yield line.decode()

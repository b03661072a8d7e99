"""Two replicas in one real vLLM, of which one is killed: its programs lose nothing that they ask from then on."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from llm_hoster.engine.vllm.figures import read_figures
from tests.engine.conftest import RunningSession, wait_until
from tests.engine.test_real_recovery import SEPARATE_CORE, START_TIMEOUT_S, pid_of, restart_cause
from tests.engine.test_serve import assert_nothing_is_left

REPLICAS = {"args": ["--enforce-eager", "--data-parallel-size", "2"], "env": SEPARATE_CORE}
QUESTIONS = 8
GREETING = "stop: Hello! I am the tiny model of LLM Hoster."
# As the README has it for programs that are to outlast a restart.
MAX_RETRIES = 20


@pytest.mark.engine
@pytest.mark.soak
@pytest.mark.timeout(2 * START_TIMEOUT_S + 120)
def test_a_dead_replica_loses_no_new_question(start_session):
    session = start_session(engine=REPLICAS)
    session.wait_for_port()
    session.wait_for_state("ready", START_TIMEOUT_S)
    endpoint = json.loads((session.staged_root / "endpoint.json").read_text())
    url = f"http://127.0.0.1:{session.wait_for_port()}/v1"
    with (
        openai.OpenAI(base_url=url, api_key=endpoint["api_key"], max_retries=MAX_RETRIES) as client,
        ThreadPoolExecutor(QUESTIONS) as pool,
    ):
        assert results([pool.submit(ask, client) for _ in range(QUESTIONS)]) == [GREETING] * QUESTIONS
        wait_until(lambda: [each.work > 0 for each in replicas_of(session).values()] == [True, True])

        killed_at = time.monotonic()
        os.kill(pid_of(session, "VLLM::EngineCore_DP1"), signal.SIGKILL)
        answers = []
        for _ in range(QUESTIONS):
            answers.append(pool.submit(ask, client))
            time.sleep(1.0)  # Some are asked before the other parts of vLLM know, some when nothing is there.
        assert results(answers) == [GREETING] * QUESTIONS
        print(f"all answered {time.monotonic() - killed_at:.1f} s after the death")

    state = session.state()
    assert state is not None and (state.state, state.restarts) == ("ready", 1)
    assert "engine process ended without a word" in restart_cause(session)
    assert session.stop() == 0
    assert_nothing_is_left(session)


def ask(client: openai.OpenAI) -> str:
    question = [{"role": "user", "content": "Say hello."}]
    answer = client.chat.completions.create(model="tiny", messages=question, temperature=0)
    choice = answer.choices[0]
    return f"{choice.finish_reason}: {choice.message.content}"


def results(answers: list[Future[str]]) -> list[str]:
    return [each.result() for each in answers]


def replicas_of(session: RunningSession):
    (socket_path,) = Path(session.node_dir).glob("llmh-*/vllm.sock")
    figures = read_figures(socket_path)
    assert figures is not None
    return figures.replicas

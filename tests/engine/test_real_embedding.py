"""
Real vLLM with a model that embeds: its answers, its canary, and the change to a model that writes.

The tiny model does both, so one session serves it first as the one and then as the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import openai
import pytest
import requests

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.vllm.figures import parse_figures, read_metrics
from llm_hoster.settings import WebSettings
from llm_hoster.status.snippet import snippet
from tests.conftest import CATALOGUE, PASSWORD
from tests.engine.conftest import wait_until
from tests.gateway.generated_questions import EMBEDDING_FIELDS, embedding_schema, require_same_answers

pytestmark = pytest.mark.engine
START_TIMEOUT_S = 240
HANG_S = 12


def test_a_model_that_embeds_serves_is_not_taken_for_dead_and_gives_way_to_one_that_writes(start_session, tiny_model):
    writes = CATALOGUE["models"][0] | {"name": "writes", "source": str(tiny_model)}
    session = start_session(
        model={"task": "embed", "args": []},
        more_models=[writes],
        context={"preset": "long-context"},
        arguments=("--hang", str(HANG_S)),
    )
    url = f"http://127.0.0.1:{session.wait_for_port()}"
    session.wait_for_state("ready", START_TIMEOUT_S)
    endpoint = json.loads((session.staged_root / "endpoint.json").read_text())
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=endpoint["api_key"], max_retries=0)
    browser = requests.Session()
    browser.post(f"{url}/login", data={"password": PASSWORD})

    vectors = [each.embedding for each in client.embeddings.create(model="tiny", input=["Hello", "Good bye"]).data]
    assert [len(vector) for vector in vectors] == [64, 64]
    assert sum(each * each for each in vectors[0]) == pytest.approx(1, abs=0.01)
    with pytest.raises(openai.BadRequestError, match=r"Tiny model does not write: it turns texts into numbers\."):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hello"}])
    assert "does not chat" in browser.get(url).text
    assert_snippets_run(session)
    assert_made_up_questions_are_answered_as_vllm_does(session, url, endpoint["api_key"])

    # Nobody asks for longer than a hang takes, but for the pulse.
    ended = requests_ended(session)
    time.sleep(1.5 * HANG_S)
    assert requests_ended(session) > ended
    state = session.state()
    assert (state.state, state.restarts) == ("ready", 0)

    answer = browser.post(f"{url}/engine/switch", data={"model": "writes"}, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    wait_until(lambda: (session.state().state, session.state().model.name) == ("ready", "writes"), START_TIMEOUT_S)
    reply = client.chat.completions.create(
        model="writes", messages=[{"role": "user", "content": "Say hello."}], temperature=0
    )
    assert reply.choices[0].message.content == "Hello! I am the tiny model of LLM Hoster."
    assert 'id="composer"' in browser.get(url).text


def assert_snippets_run(session) -> None:
    settings = WebSettings.from_file(next(session.node_dir.glob("llmh-*/settings.json")))
    model = ServedModel("tiny", "Tiny model", task="embed")
    for program, command, answer in (
        ("curl", ["bash", "-c"], '"object":"embedding"'),
        ("fetch", ["node", "--input-type=module", "--eval"], "64 numbers for each text"),
        ("python", [sys.executable, "-W", "ignore", "-c"], "64 numbers for each text"),
        ("langchain", [sys.executable, "-W", "ignore", "-c"], "64 numbers for each text"),
    ):
        command.append(snippet(program, settings, model))
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"NO_PROXY": "*"})
        assert answer in run.stdout, run.stderr


def assert_made_up_questions_are_answered_as_vllm_does(session, url: str, api_key: str) -> None:
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    def ask(path: str, body: bytes) -> requests.Response:
        return requests.post(f"{url}{path}", data=body, headers=headers, timeout=60)

    engine = next(session.node_dir.glob("llmh-*")) / "vllm.sock"
    for path in EMBEDDING_FIELDS:
        require_same_answers(embedding_schema(), path, ask, engine)
    assert (session.state().state, session.state().restarts) == ("ready", 0)


def requests_ended(session) -> int:
    figures = parse_figures(read_metrics(next(session.node_dir.glob("llmh-*")) / "vllm.sock"))
    return figures.requests_ended

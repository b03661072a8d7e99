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

from llm_hoster.engine.vllm.figures import parse_figures, read_metrics
from llm_hoster.settings import WebSettings
from llm_hoster.status.snippet import curl_snippet, python_snippet
from tests.conftest import CATALOGUE, PASSWORD
from tests.engine.conftest import wait_until

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
    for command, answer in (
        (["bash", "-c", curl_snippet(settings, "tiny", "embed")], '"object":"embedding"'),
        ([sys.executable, "-W", "ignore", "-c", python_snippet(settings, "embed")], "64 numbers for each text"),
    ):
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"NO_PROXY": "*"})
        assert answer in run.stdout, run.stderr


def requests_ended(session) -> int:
    figures = parse_figures(read_metrics(next(session.node_dir.glob("llmh-*")) / "vllm.sock"))
    return figures.requests_ended

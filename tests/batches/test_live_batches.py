"""Batches that real vLLM answers, with the official client."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.batches.conftest import LightServer, MakeClient, answers, chat_lines, start_batch, wait_for_end
from tests.live_engine import LiveEngine

pytestmark = pytest.mark.engine

GREETING = "Hello! I am the tiny model of LLM Hoster."


def test_vllm_answers_a_batch_beside_a_chat(
    make_light_server: Callable[..., LightServer], make_openai: MakeClient, live_engine: LiveEngine
) -> None:
    client = make_openai(make_light_server(engine=live_engine.socket_path))
    questions = [f"Say hello. {number}" for number in range(20)]
    content = chat_lines("Say hello.", *questions, temperature=0, max_tokens=40) + chat_lines("bad", temperature=-1)

    batch = start_batch(client, content)
    messages = [{"role": "user", "content": "Say hello."}]
    chat = client.chat.completions.create(model="tiny", messages=messages, temperature=0)  # type: ignore[arg-type]
    batch = wait_for_end(client, batch, timeout_s=60)

    assert batch.status == "completed" and batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (21, 1)
    found = answers(client, batch.output_file_id)
    assert found["Say hello."]["response"]["body"]["choices"][0]["message"]["content"] == GREETING
    assert chat.choices[0].message.content == GREETING
    refusal = answers(client, batch.error_file_id)["bad"]["response"]
    assert refusal["status_code"] == 400 and "temperature" in refusal["body"]["error"]["message"]


@pytest.mark.parametrize(("endpoint", "body"), [
    ("/v1/completions", {"prompt": "one two", "max_tokens": 5}),
    ("/v1/responses", {"input": "Say hello.", "store": False}),
])  # fmt: skip
def test_vllm_answers_batches_of_other_endpoints(
    make_light_server: Callable[..., LightServer],
    make_openai: MakeClient,
    live_engine: LiveEngine,
    endpoint: str,
    body: dict[str, object],
) -> None:
    client = make_openai(make_light_server(engine=live_engine.socket_path))
    line = {"custom_id": "one", "method": "POST", "url": endpoint, "body": {"model": "tiny", **body}}

    batch = start_batch(client, json.dumps(line).encode(), endpoint=endpoint)
    batch = wait_for_end(client, batch, timeout_s=60)

    response = answers(client, batch.output_file_id)["one"]["response"]
    assert response["status_code"] == 200 and response["body"]["model"] == "tiny"

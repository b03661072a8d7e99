"""The endpoint in front of real vLLM."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
import requests

from llm_hoster.engine.vllm.connection import EnginePool
from llm_hoster.gateway.forward import PRIORITY_HEADER
from tests.live_engine import LiveEngine
from tests.web_session import WebServer

pytestmark = pytest.mark.engine

MakeServer = Callable[..., WebServer]
GREETING = "Hello! I am the tiny model of LLM Hoster."


@pytest.fixture
def server(make_server: MakeServer, live_engine: LiveEngine) -> WebServer:
    return make_server(engine=live_engine.socket_path)


def without_ids(body: bytes) -> bytes:
    return re.sub(rb'"id":"[^"]*"|"created":\d+', b"", body)


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Say hello."}]}),
    ("/v1/completions", {"prompt": "one two", "max_tokens": 5}),
    ("/v1/chat/completions", {"messages": "not a list"}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 50}),
    ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "Say hello."}]}),
    ("/v1/chat/completions", {"model": "nope", "messages": []}),
])  # fmt: skip
def test_an_answer_is_vllms_own_byte_for_byte(
    server: WebServer, live_engine: LiveEngine, path: str, body: dict[str, object]
) -> None:
    raw = json.dumps({"model": "tiny", "temperature": 0} | body).encode()

    through = server.api(path, data=raw)

    assert without_ids(through.content) == without_ids(live_engine.post(path, raw))


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Count to twenty."}]}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Think, then answer."}],
                              "stream_options": {"include_usage": True}}),
    ("/v1/completions", {"prompt": "one two", "max_tokens": 5}),
])  # fmt: skip
def test_a_stream_is_vllms_own_but_for_where_it_is_cut(
    server: WebServer, live_engine: LiveEngine, path: str, body: dict[str, object]
) -> None:
    """vLLM puts tokens that are ready together into one event, so that no two streams are cut alike."""
    raw = json.dumps({"model": "tiny", "temperature": 0, "stream": True} | body).encode()

    through = server.api(path, data=raw)

    assert joined_tokens(through.content) == joined_tokens(live_engine.post(path, raw))


def joined_tokens(stream: bytes) -> tuple[dict[str, str], list[object]]:
    """
    Give what was written, by its field, and what is around it.

    The fingerprint is not compared: vLLM sends it with the usage, which only the gateway has asked for.
    """
    written: dict[str, str] = {}
    around: list[object] = []
    for data in re.findall(rb"^data: (.*)$", stream, re.MULTILINE):
        event = (
            {} if data == b"[DONE]" else json.loads(data) | {"id": None, "created": None, "system_fingerprint": None}
        )
        for choice in event.get("choices", []):
            part = choice.get("delta", choice)
            for field in ("content", "reasoning", "text"):
                written[field] = written.get(field, "") + (part.pop(field, None) or "")
        if not around or around[-1] != event:
            around.append(event)
    return written, around


def test_a_stream_comes_in_pieces_and_unbuffered(server: WebServer) -> None:
    # Of a short reply a busy machine may have all before anybody looks.
    messages = [{"role": "user", "content": "Write for a long time."}]
    body = {"model": "tiny", "messages": messages, "stream": True, "max_tokens": 500}

    with server.api("/v1/chat/completions", json=body, stream=True) as response:
        chunks = list(response.iter_content(None))

    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["X-Accel-Buffering"] == "no"
    assert len(chunks) > 3


def test_tokens_come_and_go(server: WebServer) -> None:
    tokens = server.api("/v1/tokenize", json={"model": "tiny", "prompt": "one two"}).json()
    text = server.api("/v1/detokenize", json={"model": "tiny", "tokens": tokens["tokens"]}).json()

    assert tokens["count"] == len(tokens["tokens"]) > 0
    assert text["prompt"].endswith("one two")


@pytest.mark.parametrize(("path", "key"), [("/v1/rerank", "documents"), ("/v1/score", "text_2")])
def test_what_this_model_cannot_do_is_said(server: WebServer, path: str, key: str) -> None:
    response = server.api(path, json={"model": "tiny", "query": "a", "text_1": "a", key: ["b"]})

    assert response.status_code == 404
    assert "cannot do this" in response.json()["error"]["message"]


def test_messages_are_streamed_in_anthropics_events(server: WebServer) -> None:
    body = {"model": "tiny", "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "Say hello."}]}

    stream = server.api("/v1/messages", json=body).text

    events = re.findall(r"^event: (\w+)$", stream, re.MULTILINE)
    assert (events[0], events[-1]) == ("message_start", "message_stop")
    assert "".join(json.loads(f'"{text}"') for text in re.findall(r'"text_delta","text":"([^"]*)"', stream)) == GREETING


def test_vllm_reads_the_priority_of_a_message_in_its_header(live_engine: LiveEngine) -> None:
    """Nothing in an answer tells it, but that a number for which vLLM has no room is its undoing."""
    body = json.dumps({"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]})

    def status(priority: int) -> int:
        headers = {"Content-Type": "application/json", PRIORITY_HEADER: str(priority)}
        return EnginePool(live_engine.socket_path).request("POST", "/v1/messages", body=body, headers=headers).status

    assert [status(0), status(-7), status(10**30)] == [200, 200, 500]


def test_a_wrong_message_is_refused_in_anthropics_shape(server: WebServer) -> None:
    response = server.api("/v1/messages", json={"model": "nope", "max_tokens": 5, "messages": []})

    assert response.status_code == 404
    assert response.json()["type"] == "error"
    assert response.json()["error"]["type"] == "not_found_error"
    assert "nope" in response.json()["error"]["message"]


def test_vllm_knows_a_request_by_the_id_that_the_client_got(server: WebServer) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Say hello."}]}

    response = server.api("/v1/chat/completions", json=body)

    assert response.json()["id"] == f"chatcmpl-{response.headers['X-Request-Id']}"


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_client_that_leaves_ends_vllms_work(server: WebServer, live_engine: LiveEngine, is_streamed: bool) -> None:
    live_engine.wait_until_running(0)
    messages = [{"role": "user", "content": "Write for a long time."}]
    # Sixteen long answers at once, which take many seconds also where the machine is quick.
    long = {"max_tokens": 1900, "ignore_eos": True, "n": 16, "temperature": 1}
    body = {"model": "tiny", "messages": messages, "stream": is_streamed, **long}
    timeout_s = 30.0 if is_streamed else 1.0
    try:
        with server.api("/v1/chat/completions", json=body, stream=True, timeout_s=timeout_s) as response:
            assert next(response.iter_content(None)).startswith(b"data: ")
            live_engine.wait_until_busy()
    except requests.ReadTimeout:
        assert not is_streamed

    live_engine.wait_until_running(0)

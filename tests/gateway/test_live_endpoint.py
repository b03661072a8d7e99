"""The endpoint in front of real vLLM."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import openai
import pytest
import requests

from tests.live_engine import LiveEngine
from tests.web_session import API_KEY, WebServer

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


def joined_tokens(stream: bytes) -> bytes:
    text = rb'"(content|reasoning|text)":"([^"]*)"'
    tokens = b"".join(match[2] for match in re.finditer(text, stream))
    emptied = re.sub(text, rb'"\1":""', without_ids(stream))
    # The last event has tokens of its own where they were ready together with the end.
    emptied = re.sub(rb'"delta":\{"(content|reasoning)":""\}', rb'"delta":{}', emptied)
    return tokens + re.sub(rb"(data: \{[^\n]*\n\n)\1*", rb"\1", emptied)


def test_a_stream_comes_in_pieces_and_unbuffered(server: WebServer) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Count to twenty."}], "stream": True}

    with server.api("/v1/chat/completions", json=body, stream=True) as response:
        chunks = list(response.iter_content(None))

    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["X-Accel-Buffering"] == "no"
    assert len(chunks) > 3


def test_the_openai_client_chats_streams_and_calls_tools(server: WebServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["tiny"]
        whole = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Say hello."}])
        stream = client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "Say hello."}], stream=True
        )
        with stream:
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        call = client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "What time is it?"}],
            tools=[{"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}],
        )

    assert whole.choices[0].message.content == GREETING
    assert "".join(pieces) == GREETING
    assert (call.choices[0].message.tool_calls or [])[0].function.name == "get_time"


def test_an_error_of_vllm_is_an_error_of_the_openai_client(server: WebServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="`nope` does not exist"):
            client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "Say hello."}])
        with pytest.raises(openai.BadRequestError, match="max_model_len"):
            client.completions.create(model="tiny", prompt="one", max_tokens=100_000)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_client_that_leaves_ends_vllms_work(server: WebServer, live_engine: LiveEngine, is_streamed: bool) -> None:
    live_engine.wait_until_running(0)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Write for a long time."}], "stream": is_streamed}
    timeout_s = 30.0 if is_streamed else 1.0
    try:
        with server.api("/v1/chat/completions", json=body, stream=True, timeout_s=timeout_s) as response:
            next(response.iter_content(None))
            live_engine.wait_until_running(1)
    except requests.ReadTimeout:
        assert not is_streamed

    live_engine.wait_until_running(0)

"""An engine that is silent for long or stalls: the client hears a sign of life, and nobody else waits for it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import requests

from llm_hoster.gateway.pump import SIGN_OF_LIFE
from tests.asynchronous import run_async
from tests.gateway.conftest import MakeUpstream
from tests.gateway.official_clients import HELLO, MakeServer
from tests.gateway.small_upstream import STREAM_HEAD
from tests.live_engine import wait_for
from tests.usage.records import audit_lines
from tests.web_session import API_KEY

BODY = {"model": "tiny", "messages": [], "stream": True}
EVENT = b'data: {"a":1}\n\n'


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def test_an_engine_that_stalls_in_a_stream_and_is_killed(make_server: MakeServer, make_upstream: MakeUpstream) -> None:
    """As the supervisor does when vLLM has been silent for too long to anybody."""
    upstream = make_upstream(STREAM_HEAD + chunked(EVENT), stays_open=True)
    server = make_server()
    with server.api("/v1/chat/completions", json=BODY, stream=True) as response:
        events = response.iter_content(None)
        assert next(events) == EVENT
        upstream.hang_up()
        assert json.loads(next(events).strip().removeprefix(b"data: "))["error"]["code"] == "engine_ended"
        assert list(events) == []
    (line,) = audit_lines(server.settings)
    assert (line["status"], line["error_code"], line["completion_tokens"]) == (502, "engine_ended", 1)


def test_an_engine_that_takes_a_question_and_says_nothing_keeps_nobody_else_waiting(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    upstream = make_upstream(b"", stays_open=True)
    server = make_server()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.api, "/v1/chat/completions", json=BODY)
        wait_for(lambda: bool(upstream.requests), "vLLM is asked")
        assert requests.get(f"{server.url}/healthz", timeout=10).status_code == 204
        assert not asked.done()
        upstream.hang_up()
        response = asked.result()

    assert (response.status_code, response.json()["error"]["code"]) == (502, "engine_unreachable")
    assert response.headers["Retry-After"] == "5"


def sse(*events: dict[str, Any]) -> bytes:
    """The events with a sign of life before, after and between all of them."""
    told = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    return STREAM_HEAD + chunked(SIGN_OF_LIFE, *(piece for event in told for piece in (event, SIGN_OF_LIFE)), b"")


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "tiny", "content": [], "stop_reason": None}
MESSAGES = sse(
    {"type": "message_start", "message": MESSAGE | {"usage": {"input_tokens": 1, "output_tokens": 0}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
RESPONSES = sse(
    {"type": "response.output_text.delta", "delta": "a", "item_id": "1", "output_index": 0, "content_index": 0},
    {"type": "response.output_text.delta", "delta": "b", "item_id": "1", "output_index": 0, "content_index": 0},
)


def test_anthropics_clients_hear_nothing_of_it(make_server: MakeServer, make_upstream: MakeUpstream) -> None:
    make_upstream(MESSAGES)
    url = make_server().url
    asked: Any = {"model": "tiny", "max_tokens": 5, "messages": HELLO}

    async def ask() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=url, api_key=API_KEY, max_retries=0) as client,
            client.messages.stream(**asked) as stream,
        ):
            return await stream.get_final_text()

    with (
        anthropic.Anthropic(base_url=url, api_key=API_KEY, max_retries=0) as client,
        client.messages.stream(**asked) as stream,
    ):
        assert stream.get_final_text() == "ab"
    assert run_async(ask()) == "ab"


def test_openais_clients_hear_nothing_of_it(make_server: MakeServer, make_upstream: MakeUpstream) -> None:
    make_upstream(RESPONSES)
    url = f"{make_server().url}/v1"
    asked: Any = {"model": "tiny", "input": "x", "stream": True}

    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=url, api_key=API_KEY, max_retries=0) as client:
            return [event.delta async for event in await client.responses.create(**asked)]

    with openai.OpenAI(base_url=url, api_key=API_KEY, max_retries=0) as client:
        assert [event.delta for event in client.responses.create(**asked)] == ["a", "b"]
    assert run_async(ask()) == ["a", "b"]

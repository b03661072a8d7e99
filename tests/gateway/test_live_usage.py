"""The tokens that are recorded are those that a real vLLM tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from tests.live_engine import LiveEngine, wait_for
from tests.usage.records import audit_lines
from tests.web_session import API_KEY, WebServer

pytestmark = pytest.mark.engine

QUESTION = [{"role": "user", "content": "Say hello."}]
LONG = [{"role": "user", "content": "Count to twenty."}]


@pytest.fixture
def server(make_server: Callable[..., WebServer], live_engine: LiveEngine) -> WebServer:
    return make_server(engine=live_engine.socket_path)


def line_of(server: WebServer, number: int) -> dict[str, Any]:
    """Give the line of a request, counted from 1. Clients do not wait for the end of a stream's body."""
    wait_for(lambda: len(audit_lines(server.settings)) >= number, f"{number} requests are recorded")
    lines = audit_lines(server.settings)
    assert len(lines) == number
    return lines[-1]


def counts_of(server: WebServer, number: int) -> tuple[Any, ...]:
    line = line_of(server, number)
    return tuple(line[name] for name in ("status", "prompt_tokens", "completion_tokens", "is_estimated"))


def test_chat_and_completions_with_the_openai_client(server: WebServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0) as client:
        whole = client.chat.completions.create(model="tiny", messages=QUESTION, temperature=0)
        assert whole.usage is not None
        expected = (200, whole.usage.prompt_tokens, whole.usage.completion_tokens, False)
        assert counts_of(server, 1) == expected

        with client.chat.completions.create(model="tiny", messages=QUESTION, temperature=0, stream=True) as stream:
            chunks = list(stream)
        assert counts_of(server, 2) == expected
        assert all(chunk.choices and not chunk.usage for chunk in chunks)

        with client.chat.completions.create(
            model="tiny", messages=QUESTION, temperature=0, stream=True, stream_options={"include_usage": True}
        ) as stream:
            chunks = list(stream)
        assert counts_of(server, 3) == expected
        assert [bool(chunk.choices) for chunk in chunks][-2:] == [True, False]
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == whole.usage.total_tokens

        with client.completions.create(
            model="tiny", prompt="one two", max_tokens=5, temperature=0, stream=True
        ) as stream:
            pieces = list(stream)
        line = line_of(server, 4)
        assert (line["completion_tokens"], line["is_estimated"]) == (5, False)
        assert all(piece.choices for piece in pieces)
        assert line["first_byte_s"] > 0


def test_what_the_prefix_cache_had_already(server: WebServer) -> None:
    question = [{"role": "user", "content": "one two three " * 200}]
    for path in ("/v1/completions", "/v1/chat/completions", "/v1/messages", "/v1/messages"):
        text = {"prompt": question[0]["content"]} if path == "/v1/completions" else {"messages": question}
        assert server.api(path, json={"model": "tiny", "max_tokens": 2} | text).ok
    _, chat, *messages = audit_lines(server.settings)

    assert chat["prompt_tokens"] == messages[0]["prompt_tokens"] == messages[1]["prompt_tokens"]
    assert messages[0]["prompt_tokens"] > messages[0]["cached_tokens"] > 200
    assert messages[0]["cached_tokens"] == messages[1]["cached_tokens"]


def test_responses(server: WebServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0) as client:
        whole = client.responses.create(model="tiny", input="Say hello.", store=False, temperature=0)
        assert whole.usage is not None
        expected = (200, whole.usage.input_tokens, whole.usage.output_tokens, False)
        assert counts_of(server, 1) == expected
        with client.responses.create(
            model="tiny", input="Say hello.", store=False, temperature=0, stream=True
        ) as stream:
            events = list(stream)
    assert counts_of(server, 2) == expected
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage.total_tokens == whole.usage.total_tokens


def test_messages(server: WebServer) -> None:
    with anthropic.Anthropic(base_url=server.url, api_key=API_KEY, max_retries=0) as client:
        whole = client.messages.create(model="tiny", messages=QUESTION, max_tokens=60, extra_body={"temperature": 0})
        expected = (200, whole.usage.input_tokens, whole.usage.output_tokens, False)
        assert counts_of(server, 1) == expected
        with client.messages.stream(
            model="tiny", messages=QUESTION, max_tokens=60, extra_body={"temperature": 0}
        ) as stream:
            message = stream.get_final_message()
    assert counts_of(server, 2) == expected
    assert message.usage.output_tokens == whole.usage.output_tokens


def test_a_stream_that_the_client_ends_is_estimated(server: WebServer, live_engine: LiveEngine) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0) as client:
        stream = client.chat.completions.create(
            model="tiny", messages=LONG, stream=True, max_tokens=1500, extra_body={"ignore_eos": True}
        )
        seen = [next(stream) for _ in range(5)]
        stream.close()
    line = line_of(server, 1)

    assert (line["status"], line["error_code"], line["is_estimated"]) == (499, "client_gone", True)
    assert len(seen) <= line["completion_tokens"] < 1500
    live_engine.wait_until_running(0)


def test_errors_of_vllm_have_its_word_for_them(server: WebServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nope", messages=QUESTION)
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=-3)
    found = [(line["status"], line["error_code"], line["model"]) for line in audit_lines(server.settings)]
    assert found == [(404, "NotFoundError", "nope"), (400, "BadRequestError", "tiny")]


def test_a_reply_in_the_page_is_the_owners(server: WebServer, live_engine: LiveEngine) -> None:
    headers = {"Accept": "text/event-stream"}
    with server.browser() as browser:
        chat = f"{server.url}/chat/{'c' * 32}/messages"
        browser.post(chat, data={"message": "Say hello."}, headers=headers, timeout=30)
    line = line_of(server, 1)

    assert (line["key_id"], line["route"], line["status"], line["is_estimated"]) == ("owner", "chat", 200, False)
    assert line["prompt_tokens"] > 0
    assert line["completion_tokens"] > 0
    assert 0 < line["first_byte_s"] <= line["duration_s"]

"""Anthropic's own Python client against the gateway, with real vLLM behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from llm_hoster.engine.record.state import State
from tests.asynchronous import run_async
from tests.gateway.official_clients import GREETING, HELLO, NOT_READY, TOO_LARGE, WHAT_TIME, MakeServer
from tests.live_engine import LiveEngine
from tests.web_session import API_KEY

pytestmark = pytest.mark.engine

ASKED: Any = {"model": "tiny", "max_tokens": 50, "messages": HELLO}


@pytest.fixture
def root_url(make_server: MakeServer, live_engine: LiveEngine) -> str:
    return make_server(engine=live_engine.socket_path).url


@pytest.fixture(params=["api_key", "auth_token"])
def client(root_url: str, request: pytest.FixtureRequest) -> Iterator[anthropic.Anthropic]:
    """The key in each of the two headers in which the client can send it."""
    key = {"api_key": None, "auth_token": None, request.param: API_KEY}
    with anthropic.Anthropic(base_url=root_url, max_retries=0, **key) as client:
        yield client


def test_a_message_comes_whole_and_in_events(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(**ASKED)
    with client.messages.stream(**ASKED) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()

    assert whole.content[0].text == final.content[0].text == "".join(pieces) == GREETING
    assert whole.stop_reason == final.stop_reason == "end_turn"
    assert whole.usage.output_tokens == final.usage.output_tokens > 0


def test_tokens_are_counted_and_tools_called(client: anthropic.Anthropic) -> None:
    tools: Any = [{"name": "get_time", "input_schema": {"type": "object"}}]

    count = client.messages.count_tokens(model="tiny", messages=HELLO)
    message = client.messages.create(model="tiny", max_tokens=100, messages=WHAT_TIME, tools=tools)

    assert count.input_tokens == client.messages.create(**ASKED).usage.input_tokens
    assert [(block.type, block.name) for block in message.content] == [("tool_use", "get_time")]
    assert message.stop_reason == "tool_use"


def test_questions_at_once_get_their_own_answers(root_url: str) -> None:
    async def ask() -> list[Any]:
        async with anthropic.AsyncAnthropic(base_url=root_url, api_key=API_KEY, max_retries=0) as client:
            return await asyncio.gather(*(client.messages.create(**ASKED) for _ in range(3)))

    assert [message.content[0].text for message in run_async(ask())] == [GREETING] * 3


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (anthropic.NotFoundError, {"model": "nope"}, "nope"),
        (anthropic.BadRequestError, {"max_tokens": 3_000}, "max_model_len"),
        (anthropic.RequestTooLargeError, {"messages": [{"role": "user", "content": TOO_LARGE}]}, "larger than 20 MB"),
    ],
    ids=["an unknown model", "more tokens than there is room for", "a body that is too large"],
)
def test_a_refusal_is_the_error_that_anthropic_has_for_it(
    root_url: str, kind: type[anthropic.APIStatusError], changes: dict[str, Any], message: str
) -> None:
    with (
        anthropic.Anthropic(base_url=root_url, api_key=API_KEY, max_retries=0) as client,
        pytest.raises(kind, match=message),
    ):
        client.messages.create(**ASKED | changes)


def test_a_wrong_key_is_an_authentication_error(root_url: str) -> None:
    with (
        anthropic.Anthropic(base_url=root_url, api_key="wrong", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError, match="No valid API key"),
    ):
        client.messages.create(**ASKED)


@pytest.mark.parametrize(("state", "retry_after_s"), NOT_READY.values(), ids=NOT_READY)
def test_a_model_that_is_not_ready_is_a_server_error_with_a_time_to_ask_again(
    make_server: MakeServer, state: State, retry_after_s: int
) -> None:
    root_url = make_server(state=state).url
    with (
        anthropic.Anthropic(base_url=root_url, api_key=API_KEY, max_retries=0) as client,
        pytest.raises(anthropic.InternalServerError) as raised,
    ):
        client.messages.create(**ASKED)

    assert raised.value.status_code == 503
    assert raised.value.response.headers["Retry-After"] == str(retry_after_s)

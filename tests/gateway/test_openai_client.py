"""OpenAI's own Python client against the gateway, with real vLLM behind it: all that it can ask, and how it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from llm_hoster.engine.record.state import State
from tests.asynchronous import run_async
from tests.gateway.official_clients import (
    GREETING,
    HELLO,
    NOT_READY,
    REASONING,
    THINK,
    TOO_LARGE,
    WHAT_TIME,
    MakeServer,
)
from tests.live_engine import LiveEngine
from tests.web_session import API_KEY

pytestmark = pytest.mark.engine

TOOLS: Any = [{"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}]
Ask = Callable[[openai.OpenAI], object]


@pytest.fixture
def base_url(make_server: MakeServer, live_engine: LiveEngine) -> str:
    return make_server(engine=live_engine.socket_path).settings.base_url


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=API_KEY, max_retries=0) as client:
        yield client


def test_models_are_listed_and_one_is_looked_up(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]


def test_a_chat_comes_whole_and_in_pieces(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="tiny", messages=HELLO)
    with client.chat.completions.create(model="tiny", messages=HELLO, stream=True) as stream:
        chunks = list(stream)

    assert whole.choices[0].message.content == GREETING
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == GREETING
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"


def test_usage_comes_at_the_end_of_a_stream_to_who_asks_for_it_and_to_nobody_else(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="tiny", messages=HELLO).usage

    asked: Any = {"stream_options": {"include_usage": True}}
    with client.chat.completions.create(model="tiny", messages=HELLO, stream=True, **asked) as stream:
        last = list(stream)[-1]
    with client.chat.completions.create(model="tiny", messages=HELLO, stream=True) as stream:
        others = list(stream)

    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (whole.prompt_tokens, whole.completion_tokens)
    assert all(chunk.choices and chunk.usage is None for chunk in others)


def test_questions_at_once_get_their_own_answers(base_url: str) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=base_url, api_key=API_KEY, max_retries=0) as client:

            async def streamed(messages: Any) -> str:
                stream = await client.chat.completions.create(model="tiny", messages=messages, stream=True)
                async with stream:
                    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            async def whole(messages: Any) -> str:
                reply = await client.chat.completions.create(model="tiny", messages=messages)
                return reply.choices[0].message.content or ""

            return await asyncio.gather(streamed(HELLO), whole(THINK), whole(HELLO), streamed(THINK))

    hello, think, hello_too, think_too = run_async(ask())

    assert hello == hello_too == GREETING
    assert think == think_too == "Done."


def test_a_tool_is_called_whole_and_in_pieces(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="tiny", messages=WHAT_TIME, tools=TOOLS)
    with client.chat.completions.stream(model="tiny", messages=WHAT_TIME, tools=TOOLS) as stream:
        streamed = stream.get_final_completion()

    for completion in (whole, streamed):
        call = completion.choices[0].message.tool_calls[0]
        assert (call.function.name, json.loads(call.function.arguments)) == ("get_time", {})
        assert completion.choices[0].finish_reason == "tool_calls"


def test_the_reply_to_a_tools_answer_goes_on(client: openai.OpenAI) -> None:
    call = client.chat.completions.create(model="tiny", messages=WHAT_TIME, tools=TOOLS).choices[0].message
    answer = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "Noon."}

    reply = client.chat.completions.create(model="tiny", messages=[*WHAT_TIME, call, answer], tools=TOOLS, max_tokens=5)

    assert reply.usage.completion_tokens > 0


def test_an_answer_has_the_shape_that_was_asked_for(client: openai.OpenAI) -> None:
    """The tiny model knows nothing of it: vLLM lets it write nothing else."""
    schema = {"name": "verdict", "schema": {"type": "string", "enum": ["good", "bad"]}}
    shape: Any = {"type": "json_schema", "json_schema": schema}

    reply = client.chat.completions.create(model="tiny", messages=HELLO, response_format=shape, max_tokens=20)

    assert json.loads(reply.choices[0].message.content) in {"good", "bad"}


def test_reasoning_is_apart_from_the_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="tiny", messages=THINK).choices[0].message
    with client.chat.completions.create(model="tiny", messages=THINK, stream=True) as stream:
        deltas = [chunk.choices[0].delta for chunk in stream]

    assert (whole.content, whole.reasoning) == ("Done.", REASONING)
    assert "".join(delta.content or "" for delta in deltas) == "Done."
    assert "".join(getattr(delta, "reasoning", None) or "" for delta in deltas) == REASONING


def test_log_probabilities_come_with_each_token(client: openai.OpenAI) -> None:
    """The first ever asked for takes vLLM on CPU ten seconds: it compiles what counts them."""
    chat = client.chat.completions.create(model="tiny", messages=HELLO, logprobs=True, top_logprobs=2, max_tokens=3)
    text = client.completions.create(model="tiny", prompt="one two", logprobs=2, max_tokens=3)

    tokens = chat.choices[0].logprobs.content
    assert len(tokens) == 3
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens)
    assert len(text.choices[0].logprobs.token_logprobs) == 3


def test_several_answers_come_to_one_question(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="tiny", messages=HELLO, n=3, temperature=0.1, max_tokens=5)

    assert [choice.index for choice in reply.choices] == [0, 1, 2]


def test_responses_come_whole_and_in_events(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="tiny", input="Say hello.", store=False)
    with client.responses.create(model="tiny", input="Say hello.", store=False, stream=True) as stream:
        events = list(stream)

    assert whole.output_text == GREETING
    assert "".join(each.delta for each in events if each.type == "response.output_text.delta") == GREETING
    assert events[-1].type == "response.completed"


def test_the_client_knows_the_requests_id(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="tiny", messages=HELLO)

    assert reply.id == f"chatcmpl-{reply._request_id}"


REFUSALS: dict[str, tuple[type[openai.APIStatusError], int, str, Ask]] = {
    "an unknown model": (
        openai.NotFoundError, 404, "`nope` does not exist",
        lambda client: client.chat.completions.create(model="nope", messages=HELLO),
    ),
    "an unknown route": (
        openai.NotFoundError, 404, "There is no '/v1/moderations' here",
        lambda client: client.moderations.create(input="x"),
    ),
    "a task of other models": (
        openai.NotFoundError, 404, "cannot do this",
        lambda client: client.embeddings.create(model="tiny", input="x"),
    ),
    "more tokens than there is room for": (
        openai.BadRequestError, 400, "max_model_len",
        lambda client: client.completions.create(model="tiny", prompt="one", max_tokens=100_000),
    ),
    "a schema that is none": (
        openai.BadRequestError, 400, "",
        lambda client: client.chat.completions.create(
            model="tiny", messages=HELLO,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no such type"}}},
        ),
    ),
    "a body that is too large": (
        openai.APIStatusError, 413, "larger than 20 MB",
        lambda client: client.completions.create(model="tiny", prompt=TOO_LARGE),
    ),
    "a content type that is not taken": (
        openai.APIStatusError, 415, "'text/plain'; expected 'application/json'",
        lambda client: client.completions.create(
            model="tiny", prompt="one", extra_headers={"Content-Type": "text/plain"}
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "status", "message", "ask"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_the_error_that_openai_has_for_it(
    client: openai.OpenAI, kind: type[openai.APIStatusError], status: int, message: str, ask: Ask
) -> None:
    with pytest.raises(kind) as raised:
        ask(client)

    assert raised.value.status_code == status
    assert type(raised.value) is kind
    assert message in str(raised.value)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_wrong_key_is_an_authentication_error(base_url: str, is_streamed: bool) -> None:
    with (
        openai.OpenAI(base_url=base_url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="No valid API key") as raised,
    ):
        client.chat.completions.create(model="tiny", messages=HELLO, stream=is_streamed)

    assert raised.value.code == "invalid_api_key"


@pytest.mark.parametrize(("state", "retry_after_s"), NOT_READY.values(), ids=NOT_READY)
def test_a_model_that_is_not_ready_is_a_server_error_with_a_time_to_ask_again(
    make_server: MakeServer, state: State, retry_after_s: int
) -> None:
    base_url = make_server(state=state).settings.base_url
    with (
        openai.OpenAI(base_url=base_url, api_key=API_KEY, max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as raised,
    ):
        client.chat.completions.create(model="tiny", messages=HELLO)

    assert raised.value.status_code == 503
    assert raised.value.response.headers["Retry-After"] == str(retry_after_s)


def test_an_engine_that_is_gone_is_a_server_error(make_server: MakeServer) -> None:
    base_url = make_server().settings.base_url
    with (
        openai.OpenAI(base_url=base_url, api_key=API_KEY, max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as raised,
    ):
        client.chat.completions.create(model="tiny", messages=HELLO)

    assert (raised.value.status_code, raised.value.code) == (502, "engine_unreachable")

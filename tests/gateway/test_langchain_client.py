"""LangChain's ChatOpenAI against the gateway, with real vLLM behind it."""

from __future__ import annotations

import openai
import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.asynchronous import run_async
from tests.gateway.official_clients import GREETING, MakeServer
from tests.live_engine import LiveEngine
from tests.web_session import API_KEY

pytestmark = pytest.mark.engine


@tool
def get_time() -> str:
    """Tell the time."""
    return "noon"


@pytest.fixture
def llm(make_server: MakeServer, live_engine: LiveEngine) -> ChatOpenAI:
    base_url = make_server(engine=live_engine.socket_path).settings.base_url
    return ChatOpenAI(base_url=base_url, api_key=API_KEY, model="tiny", max_retries=0)


def test_a_question_is_answered_whole_in_pieces_and_with_others(llm: ChatOpenAI) -> None:
    async def ask_at_once() -> list[str]:
        return [message.content for message in await llm.abatch(["Say hello."] * 3)]

    assert llm.invoke("Say hello.").content == GREETING
    assert "".join(chunk.content for chunk in llm.stream("Say hello.")) == GREETING
    assert run_async(ask_at_once()) == [GREETING] * 3


def test_usage_comes_with_a_whole_answer_and_with_a_stream(llm: ChatOpenAI) -> None:
    whole = llm.invoke("Say hello.").usage_metadata
    counted = [chunk.usage_metadata for chunk in llm.stream("Say hello.", stream_usage=True) if chunk.usage_metadata]

    assert whole["output_tokens"] > 0
    assert [each["output_tokens"] for each in counted] == [whole["output_tokens"]]


def test_a_tool_is_called(llm: ChatOpenAI) -> None:
    message = llm.bind_tools([get_time]).invoke("What time is it?")

    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("get_time", {})]


def test_a_refusal_is_openais_error(llm: ChatOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="`nope` does not exist"):
        llm.invoke("Say hello.", model="nope")

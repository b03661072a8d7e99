"""The client in front of real vLLM, and the examples as they stand in the documentation."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from llm_hoster.client import AsyncClient, connect, connect_async
from tests.asynchronous import run_async
from tests.live_engine import LiveEngine
from tests.web_session import API_KEY, WebServer

pytestmark = pytest.mark.engine

REPOSITORY = Path(__file__).resolve().parent.parent.parent
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))
GREETING = "Hello! I am the tiny model of LLM Hoster."
TWENTY = "one two three"
TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}


@pytest.fixture
def endpoint_file(make_server: Callable[..., WebServer], live_engine: LiveEngine, tmp_path: Path) -> Path:
    server = make_server(engine=live_engine.socket_path)
    path = tmp_path / "endpoint.json"
    path.write_text(json.dumps({"base_url": server.settings.base_url, "api_key": API_KEY, "model": "tiny"}))
    return path


def test_questions_of_all_kinds(endpoint_file: Path) -> None:
    with connect(endpoint_file) as client:
        assert client.health().is_ready
        assert client.models() == ["tiny"]
        assert client.chat("Say hello.", temperature=0) == GREETING
        thought = client.chat([{"role": "user", "content": "Think, then answer."}], temperature=0)
        assert (thought, thought.reasoning) == ("Done.", "I should answer with one word.")
        assert thought.usage is not None and thought.usage.completion_tokens > 0
        assert client.complete("Say hello.", temperature=0, max_tokens=30) == GREETING
        cut = client.complete("Say hello.", temperature=0, max_tokens=2)
        assert (cut.finish_reason, cut.reasoning) == ("length", "")
        call = client.chat("What time is it?", tools=[TOOL], temperature=0)
        assert call == ""
        assert call.finish_reason == "tool_calls"


def test_a_stream_gives_the_answer_and_on_request_what_the_model_thinks(endpoint_file: Path) -> None:
    with connect(endpoint_file) as client:
        with client.stream("Think, then answer.", temperature=0) as stream:
            assert "".join(stream) == "Done."
            assert stream.finish_reason == "stop"
        options = {"stream_options": {"include_usage": True}}
        with client.stream("Think, then answer.", with_reasoning=True, temperature=0, **options) as stream:
            pieces = list(stream)
        assert stream.usage is not None
    assert "".join(piece for piece in pieces if piece.is_reasoning) == "I should answer with one word."
    assert "".join(piece for piece in pieces if not piece.is_reasoning) == "Done."


def test_leaving_a_stream_ends_the_models_work(endpoint_file: Path, live_engine: LiveEngine) -> None:
    with connect(endpoint_file) as client:
        with client.stream("Write for a long time.", temperature=0) as stream:
            next(stream)
        live_engine.wait_until_running(0)


def test_the_async_twins(endpoint_file: Path, live_engine: LiveEngine) -> None:
    async def ask(client: AsyncClient) -> None:
        assert (await client.health()).is_ready
        await client.wait_until_ready()
        assert await client.models() == ["tiny"]
        both = await asyncio.gather(
            client.chat("Say hello.", temperature=0), client.complete("Say hello.", max_tokens=3)
        )
        assert both[0] == GREETING
        async with await client.stream("Think, then answer.", with_reasoning=True, temperature=0) as stream:
            pieces = [piece async for piece in stream]
        assert "".join(piece for piece in pieces if not piece.is_reasoning) == "Done."
        async with await client.stream("Write for a long time.", temperature=0) as stream:
            await anext(stream)

    async def main() -> None:
        async with connect_async(endpoint_file) as client:
            await ask(client)

    run_async(main())
    live_engine.wait_until_running(0)


def test_what_vllm_refuses_comes_as_the_openai_packages_errors(endpoint_file: Path) -> None:
    with connect(endpoint_file, model="nope") as client:
        with pytest.raises(openai.NotFoundError, match="nope"):
            client.chat("Say hello.")
        with pytest.raises(openai.NotFoundError):
            client.embed("one", model="tiny")
        with pytest.raises(openai.BadRequestError):
            client.chat("Say hello.", model="tiny", temperature=-1)


def test_the_openai_package_itself_is_at_hand(endpoint_file: Path) -> None:
    with connect(endpoint_file) as client:
        answer = client.openai.responses.create(model=client.model, input="Say hello.", store=False)
    assert answer.output_text == GREETING


def run_example(path: Path, endpoint_file: Path) -> str:
    environment = os.environ | {"LLM_HOSTER_ENDPOINT": str(endpoint_file), "PYTHONPATH": str(REPOSITORY / "webapp")}
    done = subprocess.run([sys.executable, path], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_run(endpoint_file: Path) -> None:
    assert GREETING in run_example(REPOSITORY / "examples" / "basic.py", endpoint_file)
    streamed = run_example(REPOSITORY / "examples" / "streaming.py", endpoint_file)
    assert streamed.endswith("Done.\n")
    assert "(" in streamed
    lines = run_example(REPOSITORY / "examples" / "async_chat.py", endpoint_file).splitlines()
    assert lines[0] == f"Say hello. {GREETING}"
    assert len(lines) == 3

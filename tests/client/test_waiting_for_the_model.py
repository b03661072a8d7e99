"""`wait_until_ready` and `health`: the session's own words while its model loads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

from llm_hoster.client import Health, NotReadyError, UnreachableError, connect, connect_async
from llm_hoster.client.waiting import HOLD_S, Waiting
from llm_hoster.engine.record.state import State, write_state
from tests.asynchronous import run_async
from tests.client.small_session import SmallServer, answer_of, make_small_server, models_of
from tests.gateway.small_upstream import SmallUpstream
from tests.web_session import API_KEY, WebServer, ready_state, starting_state

__all__ = ["make_small_server"]

FAILED = ready_state(state="failed", cause="The disk is full.")


@pytest.fixture
def server(make_server: Callable[..., WebServer]) -> Iterator[WebServer]:
    """A session whose model loads, and its engine as it will be then."""
    server = make_server(state=starting_state())
    engine = SmallUpstream(server.settings.socket_path, answer_of(models_of("tiny")))
    yield server
    engine.close()


@pytest.fixture
def path(server: WebServer, tmp_path: Path) -> Path:
    path = tmp_path / "endpoint.json"
    path.write_text(json.dumps({"base_url": server.settings.base_url, "api_key": API_KEY, "model": "tiny"}))
    return path


def becomes(server: WebServer, state: State) -> None:
    write_state(server.settings.state_path, state)


def test_each_step_is_told_once_and_the_end_of_the_wait_is_noticed_at_once(server: WebServer, path: Path) -> None:
    told: list[str] = []

    def listen(sentence: str) -> None:
        told.append(sentence)
        threading.Timer(0.5, becomes, (server, ready_state())).start()

    assert HOLD_S > 2
    with connect(path) as client:
        client.wait_until_ready(30, on_step=listen)
        assert client.health().is_ready
    assert len(told) == 1
    assert "Reading the weights" in told[0]


def test_a_step_that_lasts_is_told_once() -> None:
    told: list[str] = []
    waiting = Waiting(30, told.append)
    for message in ("Starting vLLM", "Starting vLLM", "", "Reading the weights"):
        waiting.begin()
        waiting.hear(Health("starting", message))
    assert told == ["Starting vLLM", "Reading the weights"]


def test_a_failure_ends_the_wait_with_its_cause(server: WebServer, path: Path) -> None:
    with connect(path) as client:
        threading.Timer(0.5, becomes, (server, FAILED)).start()
        with pytest.raises(NotReadyError, match=r"^The engine has failed. The disk is full"):
            client.wait_until_ready(30)
        health = client.health()
    assert (health.state, health.is_ready, health.is_coming) == ("failed", False, False)


def test_who_has_waited_in_vain_is_told_the_step(path: Path) -> None:
    with connect(path) as client:
        with pytest.raises(NotReadyError, match=r"Not ready after 1 s.*Reading the weights"):
            client.wait_until_ready(1)
        assert client.health().state == "starting"
    with connect(path, max_retries=0) as client, pytest.raises(openai.InternalServerError, match="Reading the weights"):
        client.chat("Say hello.")


def test_an_answer_that_was_not_held_is_not_asked_for_again_at_once(
    make_small_server: Callable[[bytes], SmallServer],
) -> None:
    body = b'{"error": {"message": "Others wait.", "type": "server_error", "param": null, "code": "too_many_wait"}}'
    server = make_small_server(b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    with connect(base_url=server.base_url, api_key="k") as client, pytest.raises(NotReadyError, match="Others wait"):
        client.wait_until_ready(1.0)
    assert len(server.requests) == 3  # At once, as one that is held, and when the time is up.


def test_a_wrong_key_does_not_wait(server: WebServer) -> None:
    with (
        connect(base_url=server.settings.base_url, api_key="sk-wrong") as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.wait_until_ready(30)


def test_a_session_that_is_silent_for_a_moment_is_waited_for(server: WebServer, path: Path) -> None:
    becomes(server, ready_state())
    server.kill()
    with connect(path) as client, pytest.raises(UnreachableError):
        client.wait_until_ready(1.5)


def test_the_async_client_waits_too(server: WebServer, path: Path) -> None:
    told: list[str] = []

    async def main() -> None:
        async with connect_async(path) as client:
            assert (await client.health()).state == "starting"
            threading.Timer(0.5, becomes, (server, ready_state())).start()
            await client.wait_until_ready(30, on_step=told.append)
            server.kill()
            with pytest.raises(UnreachableError):
                await client.wait_until_ready(1.5)

    run_async(main())
    assert len(told) == 1


def test_the_client_may_wait_with_each_question(server: WebServer, path: Path) -> None:
    threading.Timer(0.6, becomes, (server, ready_state())).start()
    with connect(path, wait_for_model_s=20, max_retries=0) as client:
        assert client.models() == ["tiny"]

"""The client follows its session to another node, and tries again only what has not been answered."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from llm_hoster.client import UnreachableError, connect, connect_async, options
from tests.asynchronous import run_async
from tests.client.small_session import SmallServer, SmallSession, answer_of, make_session, make_small_server, models_of
from tests.web_session import API_KEY

__all__ = ["make_session", "make_small_server"]

MakeSession = Callable[..., SmallSession]
MakeServer = Callable[[bytes], SmallServer]
OTHER_KEY = "sk-llmh-" + "b" * 32
CHUNK = {
    "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "tiny",
    "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}],
}  # fmt: skip
EVENT_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n"


@pytest.fixture
def moved(make_session: MakeSession, tmp_path: Path) -> tuple[SmallSession, SmallSession, Path]:
    """A session, the next one with another key, and the endpoint file, which names the first."""
    first, second = make_session(models_of("first")), make_session(models_of("second"), key=OTHER_KEY)
    return first, second, first.write(tmp_path / "endpoint.json", "first")


def test_the_file_is_read_before_each_question(moved: tuple[SmallSession, SmallSession, Path]) -> None:
    _first, second, path = moved
    with connect(path) as client:
        assert (client.model, client.models()) == ("first", ["first"])
        second.write(path, "second")
        assert (client.model, client.models()) == ("second", ["second"])
        assert client.base_url == second.base_url
        # A file that is being replaced, or a home folder that is gone for a moment, changes nothing.
        path.unlink()
        assert (client.model, client.models()) == ("second", ["second"])


def test_who_meets_a_dead_session_is_answered_by_the_next(moved: tuple[SmallSession, SmallSession, Path]) -> None:
    first, second, path = moved
    with connect(path) as client:
        first.end()
        timer = threading.Timer(1.0, second.write, (path, "second"))
        timer.start()
        assert client.models() == ["second"]  # It was tried again meanwhile.
        timer.join()


def test_the_async_client_follows_too(moved: tuple[SmallSession, SmallSession, Path]) -> None:
    first, second, path = moved

    async def main() -> None:
        async with connect_async(path) as client:
            assert await client.model() == "first"
            first.end()
            timer = threading.Timer(1.0, second.write, (path, "second"))
            timer.start()
            assert await client.models() == ["second"]
            timer.join()

    run_async(main())


def test_a_key_that_is_not_taken_any_more_is_looked_up(moved: tuple[SmallSession, SmallSession, Path]) -> None:
    _first, second, path = moved
    with connect(path) as client:
        path.write_text(path.read_text().replace(API_KEY, "sk-old"))
        with pytest.raises(openai.AuthenticationError):
            client.models()
        second.write(path)
        # The openai package itself does not read the file before it asks.
        assert [each.id for each in client.openai.models.list()] == ["second"]


def test_the_async_client_looks_a_key_up_too(moved: tuple[SmallSession, SmallSession, Path]) -> None:
    _first, second, path = moved

    async def main() -> None:
        path.write_text(path.read_text().replace(API_KEY, "sk-old"))
        async with connect_async(path) as client:
            second.write(path)
            assert [each.id async for each in client.openai.models.list()] == ["second"]

    run_async(main())


def test_when_nobody_has_taken_its_place_it_is_said_what_to_do(
    moved: tuple[SmallSession, SmallSession, Path],
) -> None:
    first, _, path = moved
    with connect(path, max_retries=1) as client:
        first.end()
        with pytest.raises(UnreachableError, match=r"127.0.0.1:\d+ does not answer.*Launch one") as error:
            client.chat("Say hello.")
    assert isinstance(error.value, openai.APIConnectionError)
    assert API_KEY not in repr(error.value)


def test_a_session_whose_folder_was_deleted_does_not_answer_either(
    moved: tuple[SmallSession, SmallSession, Path],
) -> None:
    first, _, path = moved
    with connect(path, max_retries=0) as client:
        first.end()
        path.unlink()
        with pytest.raises(UnreachableError):
            client.chat("Say hello.")


def test_a_stream_that_has_begun_is_not_asked_for_again(
    make_small_server: MakeServer, make_session: MakeSession, tmp_path: Path
) -> None:
    server = make_small_server(EVENT_STREAM + b"data: " + json.dumps(CHUNK).encode() + b"\n\n")
    path = tmp_path / "endpoint.json"
    path.write_text(json.dumps({"base_url": server.base_url, "api_key": "k", "model": "tiny"}))
    next_session = make_session()
    with connect(path) as client, client.stream("Say hello.") as stream:
        assert next(stream) == "Hel"
        next_session.write(path)
        with pytest.raises(openai.APIConnectionError):
            next(stream)
    assert len(server.requests) == 1
    assert next_session.paths == []


def test_an_answer_that_was_cut_is_asked_for_again(
    make_small_server: MakeServer, make_session: MakeSession, tmp_path: Path
) -> None:
    server = make_small_server(answer_of(models_of("cut"))[:-10])
    path = tmp_path / "endpoint.json"
    path.write_text(json.dumps({"base_url": server.base_url, "api_key": "k", "model": "tiny"}))
    next_session = make_session(models_of("whole"))
    with connect(path) as client:
        threading.Timer(0.3, next_session.write, (path,)).start()
        assert client.models() == ["whole"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_question_that_takes_too_long_is_not_asked_twice(is_async: bool) -> None:
    async def ask(base_url: str) -> None:
        async with connect_async(base_url=base_url, api_key="k", timeout_s=0.5) as client:
            await client.chat("Say hello.", model="tiny")

    with socket.create_server(("127.0.0.1", 0)) as silent:
        base_url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(openai.APITimeoutError):
            if is_async:
                run_async(ask(base_url))
            else:
                with connect(base_url=base_url, api_key="k", timeout_s=0.5) as client:
                    client.chat("Say hello.", model="tiny")
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_node_that_says_nothing_is_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "CONNECT_TIMEOUT_S", 0.3)
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # The kernel takes no more than one of them, and leaves the next without an answer.
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        base_url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        with connect(base_url=base_url, api_key="k", max_retries=0) as client, pytest.raises(UnreachableError):
            client.models()


def test_a_stranger_cannot_send_the_key_elsewhere(make_small_server: MakeServer) -> None:
    other = make_small_server(answer_of(models_of("tiny")))
    stranger = make_small_server(
        f"HTTP/1.1 307 Go\r\nLocation: {other.base_url}/models\r\nContent-Length: 0\r\n\r\n".encode()
    )
    with (
        connect(base_url=stranger.base_url, api_key="k", max_retries=0) as client,
        pytest.raises(openai.APIStatusError),
    ):
        client.models()
    assert other.requests == []


def test_a_proxy_of_the_shell_is_not_asked(
    make_session: MakeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with connect(make_session().write(tmp_path / "endpoint.json"), max_retries=0) as client:
        assert client.models() == ["tiny"]


def test_the_key_is_in_no_representation(make_session: MakeSession, tmp_path: Path) -> None:
    path = make_session().write(tmp_path / "endpoint.json")
    with connect(path) as client:
        shown = [repr(client), repr(client._following.endpoint), repr(vars(client)), repr(connect_async(path))]
    assert [text for text in shown if API_KEY in text] == []
    assert "127.0.0.1" in shown[0]


def test_the_model_of_a_session_known_by_address_alone_is_asked_once(make_session: MakeSession) -> None:
    session = make_session()
    with connect(base_url=session.base_url, api_key=session.key) as client:
        assert (client.model, client.model) == ("tiny", "tiny")
    assert len(session.paths) == 1


def test_embeddings_of_one_text_and_of_several(make_session: MakeSession, tmp_path: Path) -> None:
    def vectors(*values: float) -> dict[str, object]:
        data = [{"object": "embedding", "index": 0, "embedding": [each]} for each in values]
        return {"object": "list", "data": data, "model": "tiny", "usage": {"prompt_tokens": 1, "total_tokens": 1}}

    one, two = make_session(vectors(0.5)), make_session(vectors(0.5, 1.5))
    path = one.write(tmp_path / "endpoint.json")
    with connect(path) as client:
        assert client.embed("a") == [0.5]
        two.write(path)
        assert client.embed(("a", "b")) == [[0.5], [1.5]]

    async def main() -> None:
        async with connect_async(path) as client:
            assert await client.embed(["a", "b"]) == [[0.5], [1.5]]

    run_async(main())

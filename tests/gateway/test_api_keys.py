"""The endpoint with the keys of colleagues and scripts."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from llm_hoster.api_keys.api_key import PRIORITIES, ApiKey, Limits
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.capacity import REQUESTS_PER_KEY_MAX
from llm_hoster.gateway.guesses import WRONG_PER_MIN
from tests.gateway.small_upstream import SmallUpstream
from tests.live_engine import wait_for
from tests.web_session import API_KEY, MakeClient, WebServer

OWNER = {"Authorization": f"Bearer {API_KEY}"}
CHAT = "/v1/chat/completions"


@pytest.fixture
def new_key(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Make a key in the folder of the session; give the header of a request with it."""

    def make(name: str = "ada", **values: Any) -> dict[str, str]:
        key = ApiKey(f"key-{name}", name, "", created_at=time.time(), **values)
        return {"Authorization": f"Bearer {KeyFolder(tmp_path / 'data').create(key)}"}

    return make


def test_a_colleagues_key_opens_the_endpoint_but_not_the_owners_figures(
    make_client: MakeClient, new_key: Callable[..., dict[str, str]]
) -> None:
    client = make_client(is_logged_in=False)
    headers = new_key()

    assert client.get("/v1/models", headers=headers).json["error"]["code"] == "engine_unreachable"  # type: ignore[index]
    for path in ("/metrics", "/status.json"):
        assert (client.get(path, headers=headers).status_code, client.get(path, headers=OWNER).status_code) == (
            403,
            200,
        )


def test_a_key_may_use_its_models_only(make_client: MakeClient, new_key: Callable[..., dict[str, str]]) -> None:
    client = make_client(is_logged_in=False)
    allowed, other = new_key("ada", models=("tiny",)), new_key("bob", models=("other", "third"))

    def code(headers: dict[str, str], **document: str) -> str:
        answer = client.post(CHAT, json=document, headers=headers)
        return str(json.loads(answer.data)["error"]["code"])

    assert code(allowed, model="tiny") == code(allowed) == "engine_unreachable"
    assert code(allowed, model="other") == code(other, model="tiny") == code(other) == "model_not_allowed"


def test_a_key_over_its_limit_is_told_when_to_come_again(
    make_client: MakeClient, new_key: Callable[..., dict[str, str]]
) -> None:
    client = make_client(is_logged_in=False)
    headers = new_key(limits=Limits(requests_per_min=1))

    first, second = (client.get("/v1/models", headers=headers) for _ in range(2))

    assert (first.status_code, second.status_code) == (502, 429)
    assert 50 <= int(second.headers["Retry-After"]) <= 60
    assert json.loads(second.data)["error"]["code"] == "rate_limit_exceeded"


def test_requests_that_fail_or_end_give_their_place_back(
    make_client: MakeClient, new_key: Callable[..., dict[str, str]]
) -> None:
    client = make_client(is_logged_in=False)
    headers = new_key(limits=Limits(concurrent=1))

    answers = [client.post(CHAT, json={"n": number}, headers=headers) for number in (1, 1, 1000, 1000, 1)]

    assert [answer.status_code for answer in answers] == [502, 502, 400, 400, 502]


def test_a_stream_holds_its_place_until_its_end(
    make_server: Callable[..., WebServer], new_key: Callable[..., dict[str, str]]
) -> None:
    server = make_server()
    headers = new_key(limits=Limits(concurrent=1))
    begun = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\na\r\ndata: {}\n\n\r\n"
    )
    upstream = SmallUpstream(server.settings.socket_path, begun, stays_open=True)

    def ask(document: dict[str, Any]) -> requests.Response:
        return requests.post(f"{server.url}{CHAT}", headers=headers, json=document, stream=True, timeout=30)

    with ask({"stream": True}) as stream:
        assert stream.status_code == 200
        assert ask({"n": 1000}).status_code == 429
    wait_for(lambda: ask({"n": 1000}).status_code == 400, "a place")
    upstream.close()


@pytest.mark.parametrize(("path", "is_in_header"), [("/v1/messages", True), (CHAT, False), ("/v1/embeddings", False)])
def test_a_keys_priority_reaches_vllm_and_the_clients_own_header_does_not(
    make_client: MakeClient, new_key: Callable[..., dict[str, str]], short_dir: Path, path: str, is_in_header: bool
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    upstream = SmallUpstream(short_dir / "vllm.sock", answer)
    headers = new_key(priority="low") | {"X-Vllm-Priority": "-7"}
    make_client().post(path, json={"model": "tiny"}, headers=headers, buffered=True)
    upstream.close()

    head, _, body = upstream.requests[0].partition(b"\r\n\r\n")
    priority = PRIORITIES["low"]
    assert (f"\r\nX-Vllm-Priority: {priority}".encode() in head) is is_in_header
    assert head.count(b"X-Vllm-Priority") == is_in_header
    assert json.loads(body).get("priority") == (None if is_in_header else priority)


def test_anthropics_messages_at_once_are_bounded_too(
    make_server: Callable[..., WebServer], new_key: Callable[..., dict[str, str]]
) -> None:
    server, headers = make_server(), new_key(limits=Limits(concurrent=1))
    upstream = SmallUpstream(server.settings.socket_path, b"", stays_open=True)
    url, asked = f"{server.url}/v1/messages", {"json": {"model": "tiny"}, "headers": headers, "timeout": 30}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(requests.post, url, **asked)
        wait_for(lambda: bool(upstream.requests), "vLLM is asked")
        second = requests.post(url, **asked)
        upstream.hang_up()
        assert (first.result().status_code, second.status_code) == (502, 429)
    upstream.close()


def test_wrong_keys_are_slowed_and_right_ones_are_not(make_client: MakeClient) -> None:
    client = make_client(is_logged_in=False)
    wrong = {"X-Api-Key": "sk-llmh-wrong"}

    statuses = [client.get("/v1/models", headers=wrong).status_code for _ in range(WRONG_PER_MIN + 2)]

    assert statuses == [401] * WRONG_PER_MIN + [429] * 2
    assert client.get("/v1/models", headers=OWNER).status_code == 502
    assert client.get("/v1/models").status_code == 401  # No key at all is no guess.


def test_one_key_with_all_it_may_have_leaves_pages_and_other_keys_alone(
    make_server: Callable[..., WebServer], new_key: Callable[..., dict[str, str]]
) -> None:
    server = make_server()
    browser, guest = server.browser(), new_key()

    def ask(headers: dict[str, str]) -> int:
        return requests.post(f"{server.url}{CHAT}", headers=headers, json={"n": 1000}, timeout=30).status_code

    with silent_upstream(server.settings.socket_path), contextlib.ExitStack() as stack:

        def is_full() -> bool:
            """A refusal for the number of answers comes after the one for the number of requests."""
            stack.enter_context(open_request(server))
            return ask(OWNER) == 429

        for _ in range(REQUESTS_PER_KEY_MAX - 1):
            stack.enter_context(open_request(server))
        wait_for(is_full, f"{REQUESTS_PER_KEY_MAX} requests of one key", timeout_s=60)
        assert browser.get(f"{server.url}/", timeout=10).status_code == 200
        assert ask(guest) == 400
    wait_for(lambda: ask(OWNER) == 400, "a place", timeout_s=60)


@contextlib.contextmanager
def silent_upstream(path: Path) -> Iterator[None]:
    """Take every connection, and never answer."""
    taken = []

    def take() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(listener.accept()[0])

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(512)
        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for connection in taken:
                connection.close()


def open_request(server: WebServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.settings.port), timeout=30)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {API_KEY}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())
    return connection

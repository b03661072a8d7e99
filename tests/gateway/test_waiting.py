"""Questions that come while the model loads, from who wants to wait."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from llm_hoster.engine.record.state import State, write_state
from llm_hoster.gateway.waiting import WAITING_MAX
from tests.gateway.small_upstream import SmallUpstream
from tests.live_engine import wait_for
from tests.web_session import API_KEY, MakeClient, WebServer, ready_state, starting_state

MakeServer = Callable[..., WebServer]
BEARER = {"Authorization": f"Bearer {API_KEY}"}
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def change_soon(server: WebServer, state: State) -> threading.Timer:
    timer = threading.Timer(0.6, write_state, (server.settings.state_path, state))
    timer.start()
    return timer


@pytest.mark.parametrize("how", [{"headers": {"X-Wait-For-Model": "20"}}, {"query": "?wait=20"}])
def test_who_wants_to_wait_is_answered_when_the_model_is_there(make_server: MakeServer, how: dict[str, Any]) -> None:
    server = make_server(state=starting_state())
    upstream = SmallUpstream(server.settings.socket_path, WHOLE)
    began = time.monotonic()
    timer = change_soon(server, ready_state())

    response = ask(server, **how)

    timer.join()
    upstream.close()
    assert (response.status_code, response.content) == (200, b"{}")
    assert 0.5 < time.monotonic() - began < 10
    assert b"wait" not in upstream.requests[0].lower()


def test_who_has_waited_in_vain_is_told_the_step(make_client: MakeClient) -> None:
    began = time.monotonic()
    response = make_client(state=starting_state()).get("/v1/models?wait=0.7", headers=BEARER)

    assert 0.7 <= time.monotonic() - began < 5
    assert (response.status_code, "Retry-After" in response.headers) == (503, True)
    assert b"Reading the weights" in response.data


def test_a_failure_ends_the_wait(make_server: MakeServer) -> None:
    server = make_server(state=starting_state())
    timer = change_soon(server, ready_state(state="failed", cause="The disk is full."))

    response = ask(server, query="?wait=60")

    timer.join()
    assert response.status_code == 503
    assert b"The disk is full." in response.content


@pytest.mark.parametrize("wait", ["-1", "nan", "inf", "soon", "1e9", "3601"])
def test_a_wait_that_is_none_is_refused(make_client: MakeClient, wait: str) -> None:
    response = make_client(state=starting_state()).get(f"/v1/models?wait={wait}", headers=BEARER)

    assert response.status_code == 400
    assert b"at most 3600" in response.data


def test_not_more_wait_than_leave_room_for_pages_and_who_hangs_up_gives_the_place_back(make_server: MakeServer) -> None:
    server = make_server(state=starting_state())
    with contextlib.ExitStack() as stack:

        def is_full() -> bool:
            """Add one each time: the question itself may have taken a place from one that came late."""
            stack.enter_context(open_request(server, "?wait=600"))
            return b"others wait" in ask(server, query="?wait=0.05").content

        for _ in range(WAITING_MAX - 1):
            stack.enter_context(open_request(server, "?wait=600"))
        wait_for(is_full, "a refusal", timeout_s=60)
    wait_for(lambda: b"others wait" not in ask(server, query="?wait=0.05").content, "a place", timeout_s=60)


def ask(server: WebServer, query: str = "", headers: dict[str, str] | None = None) -> requests.Response:
    return requests.get(f"{server.url}/v1/models{query}", headers=BEARER | (headers or {}), timeout=30)


def open_request(server: WebServer, query: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.settings.port), timeout=30)
    head = f"GET /v1/models{query} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {API_KEY}\r\n\r\n"
    connection.sendall(head.encode())
    return connection

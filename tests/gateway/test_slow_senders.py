"""Half-sent requests: they end after some seconds, and keep nobody else waiting meanwhile."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from llm_hoster.deadlines import BODY_S, HEAD_S
from llm_hoster.gunicorn_worker import HEADLESS_MAX, LEAVING_S
from tests.gateway.small_upstream import SmallUpstream
from tests.live_engine import wait_for
from tests.web_session import API_KEY, WebServer

MakeServer = Callable[..., WebServer]
HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: {API_KEY}\r\nContent-Type: application/json\r\n"
MANY = 300  # More than there are threads.
SILENT = 1_000  # More than are taken at once.
STAYING = 10


@pytest.fixture
def server(make_server: MakeServer) -> WebServer:
    return make_server()


@contextlib.contextmanager
def senders(server: WebServer, number: int, beginning: str) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(number):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.settings.port), timeout=30))
            connection.sendall(beginning.encode())
            connections.append(connection)
        yield connections


def has_ended(connection: socket.socket) -> bool:
    """Wait for it; what was sent half is not read, which resets the connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def seconds_to_answer(server: WebServer) -> float:
    began = time.monotonic()
    assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 204
    return time.monotonic() - began


def test_half_a_head_ends_and_keeps_nobody_waiting(server: WebServer) -> None:
    began = time.monotonic()
    with senders(server, MANY, HEAD) as connections:
        assert seconds_to_answer(server) < HEAD_S / 2
        # Of so many only the last ones are waited for.
        assert all(map(has_ended, connections))
        assert HEAD_S <= time.monotonic() - began < 2 * HEAD_S


def test_a_head_in_small_pieces_is_read_and_its_slowness_ends(server: WebServer) -> None:
    upstream = SmallUpstream(server.settings.socket_path, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    with senders(server, 2, "") as (fair, slow):
        for piece in (HEAD[:20], HEAD[20:60], HEAD[60:], "Content-Length: 2\r\n\r", "\n{}"):
            fair.sendall(piece.encode())
            time.sleep(0.1)
        assert fair.recv(12) == b"HTTP/1.1 200"
        began = time.monotonic()
        with pytest.raises(OSError):
            for letter in HEAD * 10:
                slow.sendall(letter.encode())
                time.sleep(0.2)
        assert time.monotonic() - began < 2 * HEAD_S
    upstream.close()


def test_half_a_body_is_refused_in_time(server: WebServer) -> None:
    began = time.monotonic()
    with senders(server, 3, f'{HEAD}Content-Length: 99\r\n\r\n{{"model":') as connections:
        assert seconds_to_answer(server) < BODY_S / 2
        for connection in connections:
            answer = connection.recv(65536)
            while b"request_timeout" not in answer:
                piece = connection.recv(65536)
                assert piece
                answer += piece
            assert answer.startswith(b"HTTP/1.1 408 ")
        assert BODY_S <= time.monotonic() - began < 2 * BODY_S


def test_a_body_that_comes_slowly_but_comes_is_taken(server: WebServer) -> None:
    upstream = SmallUpstream(server.settings.socket_path, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    body = '{"model": "tiny"}'
    with senders(server, 1, f"{HEAD}Content-Length: {len(body)}\r\n\r\n") as (connection,):
        for letter in body:
            connection.sendall(letter.encode())
            time.sleep(0.1)
        assert connection.recv(12) == b"HTTP/1.1 200"
        # The connection is kept, and what follows on it has a time of its own.
        connection.recv(65536)
        connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
    upstream.close()


def test_half_a_second_request_behind_a_whole_one_ends_too(server: WebServer) -> None:
    whole = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with senders(server, 1, whole + HEAD) as (connection,):
        began = time.monotonic()
        assert connection.recv(65536).startswith(b"HTTP/1.1 204")
        assert has_ended(connection)
        assert time.monotonic() - began < 2 * HEAD_S


def test_connections_that_say_nothing_leave_room(server: WebServer) -> None:
    began = time.monotonic()
    with senders(server, SILENT, ""):
        seconds_to_answer(server)
        assert time.monotonic() - began < HEAD_S


def test_a_fair_request_among_many_silent_ones_is_waited_for(server: WebServer) -> None:
    with senders(server, 1, "GET /healthz HTTP/1.1\r\n") as (fair,), senders(server, HEADLESS_MAX - 2, ""):
        time.sleep(0.2)
        fair.sendall(b"Host: x\r\n\r\n")
        assert fair.recv(12) == b"HTTP/1.1 204"


def test_clients_that_stay_after_their_last_answer_keep_nobody_waiting(server: WebServer) -> None:
    last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with senders(server, STAYING, last) as connections:
        # Were each waited for, all others would wait as long as all of them stay.
        assert seconds_to_answer(server) < STAYING * LEAVING_S / 2
        for connection in connections:
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 204 ")
        # Who goes on sending is heard no more.
        wait_for(lambda: _is_closed(connections[0]), "the end of a connection that stayed")


def _is_closed(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
    except OSError:
        return True
    return False


def test_a_kept_connection_asks_again_and_again(server: WebServer) -> None:
    with senders(server, 1, "") as (connection,):
        for pause_s in (0.0, 0.0, 0.05, 0.0):
            time.sleep(pause_s)  # Longer than its thread waits for it, once.
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
            time.sleep(pause_s)
            connection.sendall(b"Host: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 204 ")

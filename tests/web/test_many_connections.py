"""A crowd of connections must not end gunicorn's worker: every running reply would end with it."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.live_engine import wait_for
from tests.web_session import WebServer

FILES = 300
CROWD = 400
HELD = 1_000
KEPT_S = 10  # Less than a kept connection lasts.


@pytest.fixture
def few_files() -> Iterator[Callable[[], None]]:
    """Let processes that start from now on open few files; call it to let this one open many again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def workers_of(server: WebServer) -> str:
    return Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()


def test_the_app_answers_after_more_connections_than_it_may_open_files(
    few_files: Callable[[], None], make_server: Callable[..., WebServer], tmp_path: Path
) -> None:
    server = make_server()
    worker = workers_of(server)
    few_files()

    with ExitStack() as crowd:
        for _ in range(CROWD):
            connection = crowd.enter_context(socket.socket())
            connection.setblocking(False)  # Those that gunicorn does not take wait in the kernel.
            connection.connect_ex(("127.0.0.1", server.settings.port))
        descriptors = Path(f"/proc/{worker.strip()}/fd")
        wait_for(lambda: len(list(descriptors.iterdir())) >= FILES // 3, "the worker has taken all that it takes")
        time.sleep(3)  # It would take more now, if it could: the kernel tries again after a second.

    assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 204
    assert workers_of(server) == worker
    assert "Too many open files" not in (tmp_path / "web.log").read_text()


def test_pages_answer_while_a_thousand_connections_are_held_open(make_server: Callable[..., WebServer]) -> None:
    """Each has been answered once, and may ask again: fewer of them are kept than there is room for."""
    server = make_server()
    with ExitStack() as held:
        for _ in range(HELD):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", server.settings.port), timeout=30))
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 204 ")
        began = time.monotonic()
        assert "password" in requests.get(f"{server.url}/", timeout=30).text
        assert time.monotonic() - began < KEPT_S

"""A small real server that answers like a session of fixed words, and one that sends any bytes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.engine.record.atomic_file import replace_file
from tests.gateway.small_upstream import read_request
from tests.web_session import API_KEY


def answer_of(document: Any) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def models_of(*names: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": each, "object": "model", "created": 1, "owned_by": ""} for each in names]}


class SmallSession:
    """Says on /healthz that it is there, and to whoever has its key always the same; `events` to whoever posts."""

    def __init__(self, document: Any, key: str, events: bytes | None = None) -> None:
        self.paths: list[str] = []
        self.questions: list[Any] = []
        self.key = key
        session, body = self, json.dumps(document).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/healthz":
                    self.send_response(204)
                    self.end_headers()
                    return
                session.paths.append(self.path)
                is_known = self.headers["Authorization"] == f"Bearer {key}"
                self.send_response(200 if is_known else 401)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body if is_known else b"{}")

            def do_POST(self) -> None:
                session.questions.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                if events is None:
                    self.do_GET()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                self.wfile.write(events)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def write(self, path: Path, model: str = "tiny") -> Path:
        """Write its endpoint file as a session does."""
        replace_file(path, json.dumps({"base_url": self.base_url, "api_key": self.key, "model": model}))
        return path

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class SmallServer:
    """Sends the same bytes to everybody and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve, daemon=True)  # A failed test may leave it.
        self._thread.start()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(read_request(connection))
                connection.sendall(self._answer)


@pytest.fixture
def make_session() -> Iterator[Callable[..., SmallSession]]:
    with contextlib.ExitStack() as stack:

        def make(document: Any = None, *, key: str = API_KEY, events: bytes | None = None) -> SmallSession:
            session = SmallSession(document or models_of("tiny"), key, events)
            stack.callback(session.end)
            return session

        yield make


@pytest.fixture
def make_small_server() -> Iterator[Callable[[bytes], SmallServer]]:
    with contextlib.ExitStack() as stack:

        def make(answer: bytes) -> SmallServer:
            server = SmallServer(answer)
            stack.callback(server.end)
            return server

        yield make

"""
HTTP to vLLM over its unix socket.

Each request takes a connection of its own: on one host that costs a fraction of a millisecond, closing it aborts the
request in vLLM, and no request meets a kept connection that the server has just closed.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, cast

from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError, ProtocolError, TimeoutError

CONNECT_TIMEOUT_S = 5.0


class EngineConnection(HTTPConnection):
    """A connection whose address is a socket file; the host name only fills the Host header."""

    def __init__(self, *args: Any, socket_path: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.socket_path = socket_path
        self._pieces: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send head and body at once: vLLM is woken once, and we let the other threads run once."""
        self._pieces = []
        super().request(*args, **kwargs)
        pieces, self._pieces = self._pieces, None
        super().send(b"".join(pieces))

    def send(self, data: Any) -> None:
        if self._pieces is None:
            super().send(data)
        else:
            self._pieces.append(data)

    def _new_conn(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(self.socket_path)
        except OSError as error:
            connection.close()
            raise NewConnectionError(self, f"vLLM does not answer on its socket: {error}") from error
        connection.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
        return connection


class EnginePool(HTTPConnectionPool):
    """urllib3's `request` for vLLM: nothing is retried, and each connection is closed after its answer."""

    ConnectionCls = EngineConnection

    def __init__(self, socket_path: Path) -> None:
        super().__init__(
            "engine", maxsize=1, retries=False, headers={"Connection": "close"}, socket_path=str(socket_path)
        )


@contextlib.contextmanager
def garbage_as_protocol_error() -> Iterator[None]:
    """Raise urllib3's error for what is not HTTP also where urllib3 lets Python's pass, as for a chunk of -5 bytes."""
    try:
        yield
    except (HTTPException, ValueError, OverflowError) as error:
        raise ProtocolError("the answer is not HTTP", error) from error


class Call:
    """One request that another thread may abort, also while nobody has begun to answer it."""

    def __init__(self, connection: HTTPConnection, silence_timeout_s: float | None) -> None:
        self._connection = connection
        self._silence_timeout_s = silence_timeout_s
        self._socket: socket.socket | None = None
        self._response: BaseHTTPResponse | None = None
        self._is_aborted = False

    def send(self, method: str, path: str, *, body: bytes | None, headers: Mapping[str, str]) -> None:
        """Send the request; raise urllib3's HTTPError or an OSError where vLLM is not there."""
        headers = {**headers, "Connection": "close"}
        options = {"preload_content": False, "decode_content": False}
        # Who answers and hangs up before all is read, as vLLM does at a path that it does not have, has an answer.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.request(method, path, body=body, headers=headers, **options)
        # The connection forgets its socket when the answer's head has come; abort needs it until the end.
        self._socket = self._connection.sock
        if self._is_aborted:
            self.abort()

    def response(self, *, client: socket.socket | None = None) -> BaseHTTPResponse | None:
        """Wait for the head of the answer; None when `client` has hung up before it came."""
        if client is not None and not self._wait_for_answer(client):
            self.close()
            return None
        with garbage_as_protocol_error():
            answer = self._response = self._connection.getresponse()
        # One who dies while the head is sent leaves neither of them.
        has_length = "Content-Length" in answer.headers if answer.chunked else answer.length_remaining is not None
        if has_length == answer.chunked:
            raise ProtocolError("the answer does not say where it ends, or says it twice")
        return answer

    @property
    def open_socket(self) -> socket.socket:
        assert self._socket is not None  # noqa: S101 - send comes first
        return self._socket

    def read_ahead(self) -> bytes:
        """Take what of the body came with the head. Nothing but `open_socket` has the rest."""
        self.open_socket.setblocking(False)
        reader = cast(Any, self._response)._fp.fp  # Neither urllib3 nor http.client lends it otherwise.
        return bytes(reader.read1(len(reader.peek())))

    @property
    def is_aborted(self) -> bool:
        return self._is_aborted

    def abort(self) -> None:
        """End the request from any thread: whoever reads sees the end at once, and vLLM stops generating."""
        self._is_aborted = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # It has ended by itself.
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back; before the end of the answer this aborts the request."""
        if self._response is not None:
            self._response.close()
        self._connection.close()

    def _wait_for_answer(self, client: socket.socket) -> bool:
        """Watch vLLM and the client: one who hangs up during a long answer must not keep the engine busy."""
        assert self._socket is not None  # noqa: S101 - send comes first
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(client, select.POLLRDHUP)
        events = poll.poll(None if self._silence_timeout_s is None else self._silence_timeout_s * 1000)
        if not events:
            raise TimeoutError("vLLM is silent")
        return any(descriptor == self._socket.fileno() for descriptor, _ in events)


class EngineCall(Call):
    """A request to vLLM."""

    def __init__(self, socket_path: Path, *, silence_timeout_s: float | None = None) -> None:
        connection = EngineConnection("engine", timeout=silence_timeout_s, socket_path=str(socket_path))
        super().__init__(connection, silence_timeout_s)

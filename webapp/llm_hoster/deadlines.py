"""How long a request may take to arrive: a sender who sends half of one and waits must not keep a thread of ours."""

from __future__ import annotations

import contextlib
import io
import math
import socket
import time
from collections.abc import Iterable
from typing import IO, Any

from gunicorn.http.errors import ParseException

from llm_hoster.client_socket import client_socket
from llm_hoster.errors import HTTPError

HEAD_S = 10.0
# A body has as long, and more where it is large: 20 MB through a slow line are no attack.
BODY_S = 10.0
BODY_BYTES_PER_S = 256 * 1024


class Deadlines:
    """The sockets that somebody reads from, each with the time by which all must have come."""

    def __init__(self) -> None:
        self._by_socket: dict[socket.socket, float] = {}

    def watch(self, connection: socket.socket, seconds: float) -> None:
        self._by_socket[connection] = time.monotonic() + seconds

    def forget(self, connection: socket.socket) -> None:
        self._by_socket.pop(connection, None)

    def is_over(self, connection: socket.socket) -> bool:
        return time.monotonic() >= self._by_socket.get(connection, math.inf)

    def end_late(self) -> None:
        """Whoever reads from a late one sees its end, and can still answer."""
        now = time.monotonic()
        for connection, deadline in list(self._by_socket.items()):
            if now >= deadline:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)


# Of this process: gunicorn's worker ends what is late, and the app's bodies are watched here.
deadlines = Deadlines()


class WatchedInput(io.RawIOBase):
    """A WSGI input that is watched from the first read to the last; raise HTTPError when it is late."""

    def __init__(self, body: IO[bytes], connection: socket.socket, length: int | None) -> None:
        self._body = body
        self._connection = connection
        self._left = length
        self._seconds = BODY_S + (length or 0) / BODY_BYTES_PER_S
        self._has_begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._has_begun:
            self._has_begun = True
            deadlines.watch(self._connection, self._seconds)
        try:
            piece = self._body.read(len(buffer))
        except ParseException as error:
            deadlines.forget(self._connection)
            message = f"The body of the request is not HTTP: {str(error)[:100]}."
            raise HTTPError(400, message, code="invalid_body") from error
        buffer[: len(piece)] = piece
        if self._left is not None:
            self._left -= len(piece)
        is_late = self._left != 0 and deadlines.is_over(self._connection)
        if is_late or self._left == 0 or not piece:
            deadlines.forget(self._connection)
        if is_late:
            message = f"The body of the request has not come within {self._seconds:.0f} seconds."
            raise HTTPError(408, message, code="request_timeout")
        if not piece and self._left:
            message = f"The body of the request ended {self._left} bytes before its end."
            raise HTTPError(400, message, code="incomplete_body")
        return len(piece)


class WatchedBodies:
    """WSGI middleware for gunicorn, which names its socket; elsewhere nothing is watched."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        connection = client_socket(environ)
        if connection is not None:
            text = environ.get("CONTENT_LENGTH") or ""
            length = int(text) if text.isdigit() else None
            if length != 0:
                environ["wsgi.input"] = WatchedInput(environ["wsgi.input"], connection, length)
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

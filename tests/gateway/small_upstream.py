"""A small real server on a unix socket that answers with fixed bytes, for what vLLM does not do on request."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from pathlib import Path

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def read_request(connection: socket.socket) -> bytes:
    """Read head and body: a socket closed with something unread resets the connection."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(65536)
    head = request.partition(b"\r\n\r\n")[0]
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    while len(request) < len(head) + 4 + length:
        request += connection.recv(65536)
    return request


class SmallUpstream:
    """Answer each connection with `answer`, then keep it open as long as `stays_open` says."""

    def __init__(self, path: Path, answer: bytes, *, stays_open: bool = False) -> None:
        self.requests: list[bytes] = []
        self.is_hung_up = threading.Event()
        self._answer = answer
        self._stays_open = stays_open
        self._waiting: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)  # A failed test may leave it.
        self._thread.start()

    def go_on(self, more: bytes) -> None:
        """Send more to the one who waits for the rest of the answer, or will."""
        connection = self._waiting.get(timeout=10)
        connection.sendall(more)
        self._waiting.put(connection)

    def hang_up(self) -> None:
        """End as one who is killed does, with the answer that waits for its rest."""
        self._waiting.get(timeout=10).shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
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
                with contextlib.suppress(OSError):  # Nobody reads to its end what cannot be read.
                    connection.sendall(self._answer)
                connection.settimeout(10)
                self._waiting.put(connection)
                if self._stays_open and _is_hung_up(connection):
                    self.is_hung_up.set()


def _is_hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:  # Something of ours was not read.
        return True

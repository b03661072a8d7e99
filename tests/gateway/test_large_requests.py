"""Bodies of 100 MB: refused early, and without room for them."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import pytest

from llm_hoster.web import BODY_LIMIT_BYTES
from tests.web_session import API_KEY, WebServer

MIB = 1024 * 1024
SIZE = 100 * MIB
HEAD = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: {API_KEY}\r\nContent-Type: application/json\r\n"
PIECE = b"x" * MIB


@pytest.fixture
def server(make_server: Callable[..., WebServer]) -> WebServer:
    return make_server()


def peak_bytes(server: WebServer) -> int:
    """The most memory that gunicorn's worker has ever had."""
    (worker,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    (kib,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)
    return int(kib) * 1024


def send(server: WebServer, head: str, pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """Send until the other side takes no more; give the status line and the bytes that were sent."""
    sent = 0
    with socket.create_connection(("127.0.0.1", server.settings.port), timeout=30) as connection:
        connection.sendall(head.encode())
        try:
            for piece in pieces:
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            return b"", sent
        return connection.recv(65536).partition(b"\r\n")[0], sent


def test_a_length_over_the_limit_is_refused_before_a_byte_of_it_is_sent(server: WebServer) -> None:
    before = peak_bytes(server)

    status, _ = send(server, f"{HEAD}Content-Length: {SIZE}\r\n\r\n", iter(()))

    assert status.startswith(b"HTTP/1.1 413 ")
    assert peak_bytes(server) - before < MIB


@pytest.mark.parametrize("framing", ["Content-Length", "Transfer-Encoding"])
def test_a_body_over_the_limit_takes_no_room(server: WebServer, framing: str) -> None:
    is_chunked = framing == "Transfer-Encoding"
    piece = b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if is_chunked else PIECE
    before = peak_bytes(server)

    send(server, f"{HEAD}{framing}: {'chunked' if is_chunked else SIZE}\r\n\r\n", repeat(piece, SIZE // MIB))

    # What is under the limit is read, in a buffer that grows by copies.
    assert peak_bytes(server) - before < (3 * BODY_LIMIT_BYTES if is_chunked else 4 * MIB)


def test_chunks_over_the_limit_are_refused(server: WebServer) -> None:
    """A client that looks at the answer when it has sent a little more."""
    pieces = repeat(b"%x\r\n%s\r\n" % (len(PIECE), PIECE), BODY_LIMIT_BYTES // MIB + 1)

    status, _ = send(server, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n", pieces)

    assert status.startswith(b"HTTP/1.1 413 ")

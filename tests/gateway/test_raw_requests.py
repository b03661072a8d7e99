"""Requests as no decent client sends them, byte by byte: heads, paths and bodies that can be read in two ways."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from email.parser import Parser
from pathlib import Path

import pytest

from llm_hoster.gateway.envelope import error_type
from tests.gateway.small_upstream import SmallUpstream
from tests.live_engine import wait_for
from tests.usage.records import audit_lines
from tests.web_session import API_KEY, WebServer

MakeServer = Callable[..., WebServer]
KEY = f"Host: x\r\nX-Api-Key: {API_KEY}\r\n".encode()
GET = b"GET /v1/models HTTP/1.1\r\n" + KEY + b"Connection: close\r\n"
POST = b"POST /v1/completions HTTP/1.1\r\n" + KEY + b"Content-Type: application/json\r\n"
BODY = b'{"model":"tiny"}'
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Door:
    """A server and what its engine was asked."""

    def __init__(self, server: WebServer, upstream: SmallUpstream) -> None:
        self.server = server
        self.upstream = upstream

    def ask(self, request: bytes) -> bytes:
        """Give all that is answered until the connection is closed by the other side."""
        with socket.create_connection(("127.0.0.1", self.server.settings.port), timeout=30) as connection:
            connection.sendall(request)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer

    def status(self, request: bytes) -> int:
        """Require exactly one answer, whatever else was hidden in the request; a refusal is in the envelope."""
        answer = self.ask(request)
        statuses = re.findall(rb"^HTTP/1\.[01] (\d+) ", answer, re.MULTILINE)
        assert len(statuses) == 1, (request[:300], answer)
        status = int(statuses[0])
        if status >= 400:
            require_envelope(status, answer)
        return status


def require_envelope(status: int, answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = Parser().parsestr(head.partition(b"\r\n")[2].decode())
    assert headers["Content-Type"] == "application/json", answer
    assert headers["X-Request-Id"].startswith("req-")
    assert int(headers["Content-Length"]) == len(body)
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == error_type(status)
    assert error["message"].endswith(".")
    if error["code"] == "invalid_head":
        assert headers["Connection"] == "close"


@pytest.fixture
def door(make_server: MakeServer) -> Iterator[Door]:
    server = make_server()
    upstream = SmallUpstream(server.settings.socket_path, ANSWER)
    yield Door(server, upstream)
    upstream.close()


AMBIGUOUS = {
    "length and chunks": POST + b"Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 16\r\nContent-Length: 3\r\n\r\n" + BODY,
    "the same length twice": POST + b"Content-Length: 16\r\nContent-Length: 16\r\n\r\n" + BODY,
    "a list of lengths": POST + b"Content-Length: 16, 16\r\n\r\n" + BODY,
    "a length with a sign": POST + b"Content-Length: +16\r\n\r\n" + BODY,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "Python's own number": POST + b"Content-Length: 1_6\r\n\r\n" + BODY,
    "a hexadecimal length": POST + b"Content-Length: 0x10\r\n\r\n" + BODY,
    "an endless length": POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + BODY,
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunks in the middle": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "almost chunks": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
    "a folded line": POST + b"X-A: b\r\n Content-Length: 3\r\nContent-Length: 16\r\n\r\n" + BODY,
    "a size that is none": CHUNKED + b"zz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a negative size": CHUNKED + b"-10\r\n" + BODY + b"\r\n0\r\n\r\n",
    "Python's own size": CHUNKED + b"0x10\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a size that is too small": CHUNKED + b"3\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a size that is followed by a bare LF": CHUNKED + b"10\n" + BODY + b"\r\n0\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
}
INJECTING = {
    "CR": GET + b"X-Request-Id: a\rX-Evil: b\r\n\r\n",
    "LF": GET + b"X-Request-Id: a\nX-Evil: b\r\n\r\n",
    "NUL": GET + b"X-Request-Id: a\x00b\r\n\r\n",
    "a NUL in the key": b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + API_KEY.encode() + b"\x00\r\n\r\n",
    "a name with a space": GET + b"X Request-Id: a\r\n\r\n",
    "no name": GET + b": a\r\n\r\n",
    "no colon": GET + b"X-Request-Id\r\n\r\n",
}
NOT_HTTP = {
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300) + b"\r\n\r\n",
    "a lower-case method": GET.replace(b"GET", b"get") + b"\r\n",
    "a NUL in the path": GET.replace(b"models", b"models\x00") + b"\r\n",
    "a byte in the path": GET.replace(b"models", b"models\xe4") + b"\r\n",
    "a path without its slash": GET.replace(b"/v1", b"v1") + b"\r\n",
    "a path with a space": GET.replace(b"models", b"mo dels") + b"\r\n",
}
TOO_LARGE = {
    "10,000 headers": (431, GET + b"".join(b"X-%d: y\r\n" % number for number in range(10_000)) + b"\r\n"),
    "a header of 1 MB": (431, GET + b"X-A: " + b"y" * 1_000_000 + b"\r\n\r\n"),
    "a path of 100 kB": (414, GET.replace(b"models", b"m" * 100_000) + b"\r\n"),
}


def test_what_two_servers_could_read_in_two_ways_is_refused(door: Door) -> None:
    refused = {**AMBIGUOUS, **INJECTING, **NOT_HTTP}

    statuses = {name: door.status(request) for name, request in refused.items()}

    assert statuses == dict.fromkeys(refused, 400) | {"almost chunks": 501}
    assert door.upstream.requests == []


def test_a_refused_head_is_in_no_log(door: Door, tmp_path: Path) -> None:
    """It may have a key."""
    secret = b"sk-llmh-marmalade"
    for request in (
        b"GET /v1/models?key=" + secret + b" HTTP/9.9\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nX-Api-Key " + secret + b"\r\n\r\n",
        GET + b"X-A: " + secret + b"\x00\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nExpect: " + secret + b"\r\n\r\n",
    ):
        answer = door.ask(request)
        assert answer.startswith(b"HTTP/1.1 4"), answer
        assert secret not in answer
        (request_id,) = re.findall(rb"X-Request-Id: (\S+)", answer)
        wait_for(lambda request_id=request_id: request_id in (tmp_path / "web.log").read_bytes(), "it is in the log")
    assert secret not in (tmp_path / "web.log").read_bytes()


def test_a_head_that_is_too_large_is_refused(door: Door) -> None:
    assert {name: door.status(request) for name, (_, request) in TOO_LARGE.items()} == {
        name: status for name, (status, _) in TOO_LARGE.items()
    }
    assert door.upstream.requests == []


def test_a_body_that_ends_early_is_not_taken_for_the_whole(door: Door) -> None:
    """What has come of it may make sense: a shorter prompt, or no limit of tokens."""
    early = {
        "of a length": POST + b"Content-Length: 99\r\n\r\n" + BODY,
        "of chunks": CHUNKED + b"10\r\n" + BODY + b"\r\n",
        "of a chunk": CHUNKED + b"99\r\n" + BODY,
    }
    for name, request in early.items():
        with socket.create_connection(("127.0.0.1", door.server.settings.port), timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(12) == b"HTTP/1.1 400", name
    assert door.upstream.requests == []
    wait_for(lambda: len(audit_lines(door.server.settings)) == len(early), "all are recorded")
    assert {line["status"] for line in audit_lines(door.server.settings)} == {400}


AROUND = [
    "/v1/../metrics", "//v1/../metrics", "/v1/%2e%2e/metrics", "/v1/..%2fmetrics", "/v1/models/", "/v1/models;x",
    "/v1/models%00", "/v1/models%ff", "/v1/models%", "/v1/models%0d%0aX-Evil:b", "/v1/./models", "/v1/v1/models",
    "/v1/%6dodels/../../metrics", "http://x/v1/../metrics",
]  # fmt: skip
SAME = ["/v1/models", "//v1/models", "/%761/models", "/v1/models?/../metrics", "/v1/models#x", "http://evil/v1/models"]


def test_no_path_leads_around_the_list_of_routes(door: Door) -> None:
    for target in AROUND:
        head, _, body = door.ask(GET.replace(b"/v1/models", target.encode()) + b"\r\n").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 "), target
        assert b"\r\nX-Evil" not in head
        assert json.loads(body)["error"]["type"] == "not_found_error"
    assert door.upstream.requests == []


def test_another_spelling_of_a_route_asks_for_the_key_and_reaches_vllm_at_its_own_path(door: Door) -> None:
    for target in SAME:
        request = GET.replace(b"/v1/models", target.encode()) + b"\r\n"
        assert door.status(request.replace(API_KEY.encode(), b"wrong")) == 401, target
        assert door.status(request) == 200, target
    assert {request.partition(b"\r\n")[0] for request in door.upstream.requests} == {b"GET /v1/models HTTP/1.1"}
    assert len(door.upstream.requests) == len(SAME)


def test_http_1_0_is_answered_and_closed(door: Door) -> None:
    get = b"GET /v1/models HTTP/1.0\r\nX-Api-Key: " + API_KEY.encode() + b"\r\n\r\n"
    post = POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Content-Length: 16\r\n\r\n" + BODY

    assert [door.status(get), door.status(post)] == [200, 200]


def test_requests_in_one_piece_are_answered_in_turn(door: Door) -> None:
    several = (
        POST + b"Content-Length: 16\r\n\r\n" + BODY + CHUNKED + b"10\r\n" + BODY + b"\r\n0\r\n\r\n" + GET + b"\r\n"
    )

    assert door.ask(several).count(b"HTTP/1.1 200 ") == 3
    assert [request.partition(b" ")[0] for request in door.upstream.requests] == [b"POST", b"POST", b"GET"]


def test_who_shuts_half_of_the_connection_has_hung_up(make_server: MakeServer) -> None:
    """To us it looks as if the client had gone, and vLLM must not work for nobody; so vLLM's own server does."""
    server = make_server()
    upstream = SmallUpstream(server.settings.socket_path, b"", stays_open=True)
    with socket.create_connection(("127.0.0.1", server.settings.port), timeout=30) as connection:
        connection.sendall(POST + b"Content-Length: 16\r\n\r\n" + BODY)
        wait_for(lambda: bool(upstream.requests), "vLLM is asked")
        connection.shutdown(socket.SHUT_WR)
        assert upstream.is_hung_up.wait(5)
        assert connection.recv(12) in {b"HTTP/1.1 499", b""}
    wait_for(lambda: bool(audit_lines(server.settings)), "it is recorded")
    assert [line["status"] for line in audit_lines(server.settings)] == [499]
    upstream.close()

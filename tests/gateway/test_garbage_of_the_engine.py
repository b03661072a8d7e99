"""Answers that are no HTTP, or only half of it: each is an error in the envelope, and one line of the record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product

import pytest

from tests.gateway.small_upstream import SmallUpstream
from tests.live_engine import wait_for
from tests.usage.records import audit_lines
from tests.web_session import WebServer

MakeServer = Callable[..., WebServer]
BODY = {"model": "tiny", "messages": [], "input": "x"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
STREAM = CHUNKED.replace(b"application/json", b"text/event-stream")
EVENT = b'e\r\ndata: {"a":1}\n\n\r\n'

NO_ANSWERS = {
    "nothing": b"",
    "a line of text": b"hello there\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "zeros": bytes(5000) + b"\r\n\r\n",
    "half a status line": b"HTTP/1.1 20",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Type: app",
    "a gigantic header": HEAD + b"X-A: " + b"y" * 10_000_000 + b"\r\n\r\n{}",
    "a thousand headers": HEAD + b"X-A: y\r\n" * 1000 + b"\r\n{}",
    "a status of letters": b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}",
    "a negative status": b"HTTP/1.1 -10 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status of six digits": b"HTTP/1.1 999999 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status that there is not": b"HTTP/1.1 700 OK\r\nContent-Length: 2\r\n\r\n{}",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "another place": b"HTTP/1.1 302 Found\r\nLocation: http://nowhere.invalid/\r\nContent-Length: 0\r\n\r\n",
    "no length": HEAD + b"\r\n{}",
    "a length of letters": HEAD + b"Content-Length: abc\r\n\r\n{}",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a size that is none": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a negative size": CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n",
    "an endless size": CHUNKED + b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n",
    "an endless line of a size": CHUNKED + b"1" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
}
BROKEN_STREAMS = {
    "the end": b"",
    "a size that is none": b"zz\r\nabc",
    "a negative size": b"-5\r\nabc",
    "an endless size": b"f" * 40 + b"\r\nabc",
    "half a chunk": b"ff\r\ndata: {",
    "an endless line of a size": b"1" * 100_000,
}


class Engine:
    """A server with, for each question, another small server in vLLM's place."""

    def __init__(self, server: WebServer) -> None:
        self.server = server

    def answer(self, answer: bytes, path: str, **changes: object) -> tuple[int, bytes]:
        """Ask once; require one line of the record with the status that was answered, or 502 for a broken stream."""
        socket_path = self.server.settings.socket_path
        socket_path.unlink(missing_ok=True)
        upstream = SmallUpstream(socket_path, answer)
        recorded = len(audit_lines(self.server.settings))
        response = self.server.api(path, json=BODY | changes, timeout_s=10)
        upstream.close()
        wait_for(lambda: len(audit_lines(self.server.settings)) > recorded, "it is recorded")
        (line,) = audit_lines(self.server.settings)[recorded:]
        assert line["status"] == (502 if changes else response.status_code)
        return response.status_code, response.content


@pytest.fixture
def engine(make_server: MakeServer) -> Iterator[Engine]:
    server = make_server()
    yield Engine(server)
    assert "Traceback" not in (server.settings.staged_root / "web.log").read_text()


def test_what_is_no_answer_is_an_engine_that_is_not_there(engine: Engine) -> None:
    for path, (name, answer) in product(["/v1/chat/completions", "/v1/embeddings"], NO_ANSWERS.items()):
        status, body = engine.answer(answer, path)
        assert status == 502, name
        assert "does not answer" in json.loads(body)["error"]["message"]


def test_a_stream_that_turns_into_garbage_ends_with_an_error(engine: Engine) -> None:
    for name, rest in BROKEN_STREAMS.items():
        status, body = engine.answer(STREAM + EVENT + rest, "/v1/chat/completions", stream=True)
        events = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b'data: {"')]
        assert (status, events[0]) == (200, {"a": 1}), name
        assert events[-1]["error"]["code"] == "engine_ended"


def test_an_error_that_is_no_json_is_put_into_the_envelope(engine: Engine) -> None:
    for body in (b"<html>", b"[" * 200_000, b"9" * 10_000, b"\xff\xfe", b'{"error":', b"null"):
        head = HEAD.replace(b"200 OK", b"500 Internal Server Error") + b"Content-Length: %d\r\n\r\n" % len(body)
        status, answered = engine.answer(head + body, "/v1/chat/completions")
        assert status == 500
        assert json.loads(answered)["error"]["message"] == "The engine answered with status 500."


def test_a_body_that_is_no_json_is_passed_on_as_it_is(engine: Engine) -> None:
    """Bytes are passed through: to look into each answer would cost as much as to write it."""
    for path in ("/v1/chat/completions", "/v1/embeddings"):
        assert engine.answer(HEAD + b'Content-Length: 5\r\n\r\n{"a":', path) == (200, b'{"a":')

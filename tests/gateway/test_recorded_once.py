"""Each question is in the record once and is charged once, whatever ends it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from llm_hoster.usage.reading import read_usage
from llm_hoster.usage.recorder import usage_path
from tests.gateway.small_upstream import SmallUpstream
from tests.live_engine import wait_for
from tests.usage.records import audit_lines
from tests.web_session import API_KEY, WebServer

MakeServer = Callable[..., WebServer]
BODY = {"model": "tiny", "messages": [], "stream": True}
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
DEAD = b'{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}'
WHOLE = b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}'


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def whole(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.fixture
def server(make_server: MakeServer) -> Iterator[WebServer]:
    yield make_server()


def test_each_end_of_a_question_is_one_line_and_one_charge(server: WebServer) -> None:
    ends: dict[str, tuple[bytes, dict[str, Any], tuple[int, int]]] = {
        "all is well": (STREAM + chunked(TEXT, USAGE, DONE, b""), BODY, (200, 3)),
        "in one piece": (whole("200 OK", WHOLE), BODY | {"stream": False}, (200, 3)),
        "the engine dies in the stream": (STREAM + chunked(TEXT, TEXT), BODY, (502, 2)),
        "the engine dies after the usage": (STREAM + chunked(TEXT, USAGE), BODY, (502, 3)),
        "the engine dies before the head": (b"", BODY, (502, 0)),
        "the engine has died": (whole("500 Internal Server Error", DEAD), BODY, (502, 0)),
        "vLLM refuses": (whole("400 Bad Request", DEAD), BODY, (400, 0)),
        "a body is cut": (whole("200 OK", WHOLE)[:-5], BODY | {"stream": False}, (502, 0)),
    }  # fmt: skip
    for number, (name, (answer, body, expected)) in enumerate(ends.items(), 1):
        ask_once(server, answer, body)
        wait_for(lambda number=number: len(audit_lines(server.settings)) >= number, f"a line for: {name}")
        lines = audit_lines(server.settings)
        assert len(lines) == number, name
        assert (lines[-1]["status"], lines[-1]["completion_tokens"]) == expected, name

    assert charged(server) == (len(ends), sum(tokens for *_, (_, tokens) in ends.values()))


def ask_once(server: WebServer, answer: bytes, body: dict[str, Any]) -> None:
    server.settings.socket_path.unlink(missing_ok=True)
    upstream = SmallUpstream(server.settings.socket_path, answer)
    server.api("/v1/chat/completions", json=body)
    upstream.close()


def charged(server: WebServer) -> tuple[int, int]:
    """Give requests and completion tokens, as `llm-hoster usage` does."""
    groups = read_usage(usage_path(server.settings), 0.0).groups
    return sum(group.requests for group in groups), sum(group.completion_tokens for group in groups)


def test_a_refusal_is_one_line_and_costs_nothing(server: WebServer) -> None:
    refused = {
        401: {"headers": {"X-Api-Key": "wrong"}, "json": BODY},
        400: {"json": {"n": 1000} | BODY},
        413: {"data": b"x" * 21_000_000},
        415: {"data": b"x", "headers": {"Content-Type": "text/plain"}},
    }
    for status, arguments in refused.items():
        headers = {"X-Api-Key": API_KEY, "Content-Type": "application/json"} | arguments.pop("headers", {})  # type: ignore[attr-defined]
        answer = requests.post(f"{server.url}/v1/chat/completions", headers=headers, timeout=30, **arguments)  # type: ignore[arg-type]
        assert answer.status_code == status
    assert [line["status"] for line in audit_lines(server.settings)] == list(refused)
    assert charged(server)[1] == 0


def test_a_client_that_never_reads_its_answer_is_charged_once(server: WebServer) -> None:
    """It goes with a reset, which gunicorn meets while it writes."""
    long = chunked(*[TEXT] * 20_000, b"")
    upstream = SmallUpstream(server.settings.socket_path, STREAM + long)
    body = json.dumps(BODY)
    with socket.create_connection(("127.0.0.1", server.settings.port)) as client:
        client.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: {API_KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        assert client.recv(12) == b"HTTP/1.1 200"
    wait_for(lambda: bool(audit_lines(server.settings)), "it is recorded")
    upstream.close()
    assert [(line["status"], line["error_code"]) for line in audit_lines(server.settings)] == [(499, "client_gone")]
    assert charged(server)[0] == 1

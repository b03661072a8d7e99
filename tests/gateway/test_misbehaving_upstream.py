"""An engine that dies, is silent or says too much, as a small real server in its place."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.gateway.small_upstream import SmallUpstream
from tests.web_session import API_KEY, WebServer, ready_state

MakeServer = Callable[..., WebServer]
MakeUpstream = Callable[..., SmallUpstream]
BODY = {"model": "tiny", "messages": []}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def make_upstream(short_dir: Path) -> Iterator[MakeUpstream]:
    made: list[SmallUpstream] = []

    def make(answer: bytes, *, stays_open: bool = False) -> SmallUpstream:
        made.append(SmallUpstream(short_dir / "vllm.sock", answer, stays_open=stays_open))
        return made[-1]

    yield make
    for upstream in made:
        upstream.close()


def test_a_stream_that_breaks_ends_with_an_error_in_the_envelope(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    make_upstream(STREAM_HEAD + b'e\r\ndata: {"a":1}\n\r\n')

    lines = make_server().api("/v1/chat/completions", json=BODY).text.split("\n\n")

    assert lines[0].strip() == 'data: {"a":1}'
    error = json.loads(lines[1].strip().removeprefix("data: "))["error"]
    assert error["code"] == "engine_ended"


def test_a_stream_is_passed_on_byte_for_byte_wherever_it_is_cut(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    pieces = [
        b'data: {"t":"',
        "ä".encode()[:1],
        "ä".encode()[1:],
        b'"}\n',
        b"\n",
        b"\xff\x00\r\n\r\n",
        b"data: [DONE]\n\n",
    ]
    make_upstream(STREAM_HEAD + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""]))

    response = make_server().api("/v1/chat/completions", json=BODY)

    assert response.content == b"".join(pieces)


def test_an_engine_that_dies_before_its_answer_is_said_to_be_unreachable(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    make_upstream(b"")

    response = make_server().api("/v1/chat/completions", json=BODY)

    assert response.status_code == 502
    assert response.json()["error"]["code"] == "engine_unreachable"


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_an_answer_that_an_ending_engine_has_cut_off_is_none(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    make_upstream(whole(b'{"choices":[{"message":{"content":"Hel"},"finish_reason":"abort"}]}'))

    response = make_server().api("/v1/chat/completions", json=BODY)

    assert (response.status_code, response.headers["Retry-After"]) == (502, "5")
    assert response.json()["error"]["code"] == "engine_unreachable"


DEAD = b"EngineCore encountered an issue. See stack trace (above) for the root cause."


@pytest.mark.parametrize(("message", "status"), [(DEAD, 502), (b"list index out of range", 500)])
def test_an_engine_that_has_died_is_no_fault_of_the_question(
    make_server: MakeServer, make_upstream: MakeUpstream, message: bytes, status: int
) -> None:
    body = b'{"error":{"message":"%s","type":"InternalServerError","param":null,"code":500}}' % message
    make_upstream(whole(body).replace(b"200 OK", b"500 Internal Server Error"))

    response = make_server().api("/v1/completions", json=BODY | {"stream": True})

    assert (response.status_code, response.headers.get("Retry-After")) == (status, "5" if status == 502 else None)


def test_an_answer_about_such_answers_is_one(make_server: MakeServer, make_upstream: MakeUpstream) -> None:
    text = json.dumps({"content": '"finish_reason":"abort"'}, separators=(",", ":"))
    make_upstream(whole(text.encode()))

    response = make_server().api("/v1/chat/completions", json=BODY)

    assert (response.status_code, response.text) == (200, text)


def test_secrets_and_the_portals_headers_do_not_reach_the_engine_nor_its_cookies_the_client(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    upstream = make_upstream(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Inner\r\nX-Inner: 1\r\nSet-Cookie: a=b\r\n"
        b"Keep-Alive: 5\r\nX-Request-Id: 7\r\n\r\n{}"
    )
    headers = {
        "Authorization": f"Bearer {API_KEY}",
        "Cookie": "a=b",
        "X-Forwarded-User": "ralphie",
        "X-Request-Id": "7",
    }

    response = requests.post(make_server().url + "/v1/completions", json=BODY, headers=headers, timeout=10)

    sent = upstream.requests[0].lower()
    assert b"x-request-id: 7" in sent
    assert not [name for name in (b"authorization", b"cookie", b"x-forwarded", b"x-api-key") if name in sent]
    assert response.headers["X-Request-Id"] == "7"
    assert not {"Set-Cookie", "X-Inner", "Keep-Alive"} & set(response.headers)


def test_a_client_that_hangs_up_before_the_answer_frees_the_engine(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    upstream = make_upstream(b"", stays_open=True)
    server = make_server()
    body = json.dumps(BODY)
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {API_KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    with socket.create_connection(("127.0.0.1", server.settings.port)) as client:
        client.sendall(request.encode())
        assert not upstream.is_hung_up.wait(0.5)

    assert upstream.is_hung_up.wait(5)


@pytest.mark.parametrize("name", ["restarting", "switching", "stopping", "failed"])
def test_an_engine_that_still_listens_is_asked_nothing_new_while_it_goes(
    make_server: MakeServer, make_upstream: MakeUpstream, name: str
) -> None:
    upstream = make_upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    server = make_server(state=ready_state(state=name, cause="Qwen3 is asked for."))

    response = server.api("/v1/chat/completions", json=BODY)

    assert response.status_code == 503
    assert response.json()["error"]["code"] in {f"engine_{name}", "engine_stopped"}
    assert upstream.requests == []

"""An engine that dies, is silent or says too much, as a small real server in its place."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.gateway.conftest import MakeUpstream
from tests.gateway.small_upstream import STREAM_HEAD
from tests.web_session import API_KEY, MakeClient, WebServer, ready_state

MakeServer = Callable[..., WebServer]
BODY = {"model": "tiny", "messages": []}


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


def test_a_stream_of_anthropics_that_breaks_ends_with_its_event(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    make_upstream(STREAM_HEAD + b"14\r\nevent: message_start\r\n")

    response = make_server().api("/v1/messages", json=BODY)

    event, data = response.text.strip().splitlines()[-2:]
    assert event == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["type"] == "api_error"


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize(("path", "body"), [
    ("chat/completions", b'{"choices":[{"message":{"content":"Hel"},"finish_reason":"abort"}]}'),
    ("completions", b'{"choices":[{"text":"Hel","finish_reason":"abort"}]}'),
    ("responses", b'{"id":"resp_1","output":[],"status":"cancelled"}'),
    ("messages", b'{"id":"msg_1","content":[{"type":"text","text":"Hel \\"stop_reason\\":"}],"model":"tiny"}'),
])  # fmt: skip
def test_an_answer_that_an_ending_engine_has_cut_off_is_none(
    make_server: MakeServer, make_upstream: MakeUpstream, path: str, body: bytes
) -> None:
    make_upstream(whole(body))

    response = make_server().api(f"/v1/{path}", json=BODY)

    assert (response.status_code, response.headers["Retry-After"]) == (502, "5")
    assert "does not answer" in response.json()["error"]["message"]


def test_an_answer_that_comes_before_the_question_is_read_is_passed_on(
    make_server: MakeServer, short_dir: Path
) -> None:
    """So vLLM answers at paths that a model does not have, and closes."""
    body = b'{"detail":"Not Found"}'
    head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(16)
            connection.sendall(head + body)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(short_dir / "vllm.sock"))
        listener.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        response = make_server().api("/v1/rerank", json=BODY | {"documents": ["x" * 2_000_000]})
        thread.join()

    assert response.status_code == 404
    assert "cannot do this" in response.json()["error"]["message"]


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


def test_a_stream_that_has_ended_has_given_its_place_back(make_client: MakeClient, make_upstream: MakeUpstream) -> None:
    make_upstream(STREAM_HEAD + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    client = make_client()
    headers = {"Authorization": f"Bearer {API_KEY}"}

    assert client.post("/v1/chat/completions", json=BODY, headers=headers, buffered=True).data == b"data: [DONE]\n\n"

    assert set(client.application.extensions["llm_hoster"]["gate"].admission.running().values()) == {0}

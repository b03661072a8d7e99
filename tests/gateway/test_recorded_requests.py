"""What of requests is written down, with a small server in vLLM's place that misbehaves on request."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from llm_hoster.api_keys.api_key import ApiKey, Limits
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.usage.reading import read_usage
from llm_hoster.usage.recorder import usage_path
from tests.gateway.conftest import MakeUpstream
from tests.gateway.small_upstream import STREAM_HEAD
from tests.live_engine import wait_for
from tests.usage.records import audit_lines, only_group
from tests.web_session import API_KEY, MakeClient, WebServer

MakeServer = Callable[..., WebServer]
BODY = {"model": "tiny", "messages": [{"role": "user", "content": "x" * 4000}]}
TEXT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = (
    b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,'
    b'"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
)
DONE = b"data: [DONE]\n\n"
OWNER = {"Authorization": f"Bearer {API_KEY}"}


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def whole(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def counts(line: dict[str, Any]) -> tuple[Any, ...]:
    names = ("status", "error_code", "prompt_tokens", "cached_tokens", "completion_tokens", "is_estimated")
    return tuple(line[name] for name in names)


@pytest.mark.parametrize(("stream_options", "expected"), [
    (None, TEXT + TEXT + DONE), ({"include_usage": True}, TEXT + TEXT + USAGE + DONE),
    ({"include_usage": False}, TEXT + TEXT + DONE),
])  # fmt: skip
def test_a_stream_is_counted_and_shows_the_usage_to_who_asked(
    make_client: MakeClient, make_upstream: MakeUpstream, stream_options: dict[str, Any] | None, expected: bytes
) -> None:
    upstream = make_upstream(STREAM_HEAD + chunked(TEXT, TEXT, USAGE, DONE, b""))
    client = make_client(is_logged_in=False)

    body = BODY | {"stream": True} | ({"stream_options": stream_options} if stream_options else {})
    answer = client.post("/v1/chat/completions", json=body, headers=OWNER, buffered=True)

    assert answer.data == expected
    assert b'"include_usage": true' in upstream.requests[0]
    (line,) = audit_lines(client.application.extensions["llm_hoster"]["settings"])
    assert counts(line) == (200, None, 5, 4, 3, False)
    assert (line["key_id"], line["model"], line["route"]) == ("owner", "tiny", "/v1/chat/completions")
    assert line["is_stream"] is True
    assert 0 <= line["first_byte_s"] <= line["duration_s"]
    assert line["request_id"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(("path", "answer", "expected"), [
    ("/v1/completions", whole(b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}'),
     (200, None, 5, 0, 3, False)),
    ("/v1/embeddings", whole(b'{"data":[%s],"usage":{"prompt_tokens":5}}' % (b"1," * 200_000)),
     (200, None, 5, 0, 0, False)),
    ("/v1/tokenize", whole(b'{"tokens":[1,2]}'), (200, None, 0, 0, 0, False)),
    ("/v1/completions", whole(b'{"choices":[]}'), (200, None, 0, 0, 0, False)),
    ("/v1/completions", whole(b'{"error":{"message":"no","type":"BadRequestError","param":null,"code":4}}', "400 Bad"),
     (400, "BadRequestError", 0, 0, 0, False)),
    ("/v1/completions", whole(b"\xff{", "500 Bad"), (500, "server_error", 0, 0, 0, False)),
    ("/v1/completions", b"", (502, "engine_unreachable", 0, 0, 0, False)),
])  # fmt: skip
def test_answers_in_one_piece_and_errors(
    make_client: MakeClient, make_upstream: MakeUpstream, path: str, answer: bytes, expected: tuple[Any, ...]
) -> None:
    make_upstream(answer)
    client = make_client(is_logged_in=False)
    client.post(path, json=BODY, headers=OWNER, buffered=True)

    (line,) = audit_lines(client.application.extensions["llm_hoster"]["settings"])
    assert counts(line) == expected


@pytest.mark.parametrize(("rest", "expected"), [
    (b"", (502, "engine_ended", 1000, 0, 2, True)),
    (chunked(b'data: {"error":{"message":"dead"}}\n\n', DONE, b""), (502, "engine_ended", 1000, 0, 4, True)),
    (chunked(DONE, b""), (200, None, 1000, 0, 3, True)),
])  # fmt: skip
def test_a_stream_without_its_usage_is_estimated(
    make_client: MakeClient, make_upstream: MakeUpstream, rest: bytes, expected: tuple[Any, ...]
) -> None:
    make_upstream(STREAM_HEAD + chunked(TEXT, TEXT) + rest)
    client = make_client(is_logged_in=False)
    client.post("/v1/chat/completions", json=BODY | {"stream": True}, headers=OWNER, buffered=True)

    (line,) = audit_lines(client.application.extensions["llm_hoster"]["settings"])
    prompt_tokens = line["prompt_tokens"]
    assert counts(line | {"prompt_tokens": 1000}) == expected
    assert prompt_tokens == pytest.approx(1000, rel=0.05)


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_hangs_up_is_recorded_once(
    make_server: MakeServer, make_upstream: MakeUpstream, is_stream: bool
) -> None:
    upstream = make_upstream(STREAM_HEAD + chunked(TEXT, TEXT) if is_stream else b"", stays_open=True)
    server = make_server()
    body = json.dumps(BODY | {"stream": is_stream})
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {API_KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    with socket.create_connection(("127.0.0.1", server.settings.port)) as client:
        client.sendall(request.encode())
        received = b""
        while is_stream and received.count(TEXT) < 2:
            received += client.recv(65536)
        wait_for(lambda: bool(upstream.requests), "vLLM is asked")

    wait_for(lambda: bool(audit_lines(server.settings)), "it is recorded")
    (line,) = audit_lines(server.settings)
    assert (line["status"], line["error_code"], line["is_estimated"]) == (499, "client_gone", True)
    assert line["prompt_tokens"] > 900
    assert line["completion_tokens"] == (2 if is_stream else 0)


def test_a_client_that_hangs_up_at_the_last_word_has_got_all(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    upstream = make_upstream(STREAM_HEAD + chunked(TEXT, USAGE), stays_open=True)
    server = make_server()
    body = BODY | {"stream": True, "stream_options": {"include_usage": True}, "model": "m" * 5000}
    with server.api("/v1/chat/completions", json=body, stream=True) as response:
        pieces, received = response.iter_content(None), b""
        while not received.endswith(USAGE):
            received += next(pieces)
    with contextlib.suppress(OSError):  # It has been noticed already.
        upstream.go_on(chunked(*[DONE] * 200))

    wait_for(lambda: bool(audit_lines(server.settings)), "it is recorded")
    (line,) = audit_lines(server.settings)
    assert counts(line) == (200, None, 5, 4, 3, False)
    assert line["model"] == "m" * 200


def test_what_a_killed_session_had_been_asked_is_in_its_record(
    make_server: MakeServer, make_upstream: MakeUpstream
) -> None:
    upstream = make_upstream(STREAM_HEAD + chunked(TEXT, TEXT), stays_open=True)
    server = make_server()
    path = server.settings.data_dir / "usage" / "session-1.sqlite3"
    with server.api("/v1/chat/completions", json=BODY | {"stream": True}, stream=True) as response:
        pieces = response.iter_content(None)  # Without a name it would be closed, and the connection with it.
        assert next(pieces)
        server.kill()
    group = only_group(path)

    assert upstream.requests
    assert (group.requests, group.estimated, group.completion_tokens) == (1, 1, 0)
    assert group.prompt_tokens > 900


def test_refusals_name_who_was_refused_and_strangers_only_their_address(
    make_client: MakeClient, make_upstream: MakeUpstream
) -> None:
    client = make_client(is_logged_in=False)
    settings = client.application.extensions["llm_hoster"]["settings"]
    key = ApiKey("key-1", "Ada", "", created_at=time.time(), models=("other",))
    secret = KeyFolder(settings.data_dir).create(key)
    client.post("/v1/completions", json=BODY, headers={"Authorization": "Bearer sk-llmh-wrong"})
    client.post("/v1/completions", json=BODY, headers={"Authorization": f"Bearer {secret}"})
    client.get("/v1/anything/at/all", headers=OWNER)
    client.post("/v1/completions", data=b"x", headers=OWNER)

    lines = audit_lines(settings)
    assert [(line["status"], line["error_code"], line["key_id"], line["route"]) for line in lines] == [
        (401, "invalid_api_key", "", "/v1/completions"),
        (403, "model_not_allowed", "key-1", "/v1/completions"),
        (404, "not_found", "owner", "other"),
        (415, "unsupported_media_type", "owner", "/v1/completions"),
    ]
    assert {line["address"] for line in lines} == {"127.0.0.1"}


def test_what_needs_no_engine_is_written_down_and_no_refusal(make_client: MakeClient) -> None:
    client = make_client(is_logged_in=False)
    settings = client.application.extensions["llm_hoster"]["settings"]
    assert client.get("/v1/files", headers=OWNER).status_code == 200

    (line,) = audit_lines(settings)
    assert (line["status"], line["key_id"], line["error_code"]) == (200, "owner", None)
    assert read_usage(usage_path(settings), 0.0).groups == ()
    assert "llm_hoster_refused_total{" not in client.get("/metrics", headers=OWNER).text


def test_a_key_over_its_limit_is_refused_and_counted(make_client: MakeClient, make_upstream: MakeUpstream) -> None:
    make_upstream(whole(b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}'))
    client = make_client(is_logged_in=False)
    settings = client.application.extensions["llm_hoster"]["settings"]
    key = ApiKey("key-1", "Ada", "", created_at=time.time(), limits=Limits(requests_per_min=1))
    headers = {"Authorization": f"Bearer {KeyFolder(settings.data_dir).create(key)}"}
    statuses = [client.post("/v1/completions", json=BODY, headers=headers).status_code for _ in range(3)]

    assert statuses == [200, 429, 429]
    lines = audit_lines(settings)
    assert [(line["status"], line["key_name"]) for line in lines] == [(200, "Ada"), (429, "Ada"), (429, "Ada")]


def test_no_word_of_question_or_answer_is_written_down(make_server: MakeServer, make_upstream: MakeUpstream) -> None:
    make_upstream(whole(b'{"choices":[{"text":"marmalade"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}'))
    server = make_server()
    server.api("/v1/completions", json={"prompt": "gooseberry", "model": "tiny"})
    server.kill()

    for file in (server.settings.data_dir / "usage").iterdir():
        assert b"gooseberry" not in file.read_bytes()
        assert b"marmalade" not in file.read_bytes()
    (line,) = audit_lines(server.settings)
    assert line["prompt"] is None


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_where_the_site_wants_it_the_audit_log_has_what_was_asked_and_no_more(
    make_server: MakeServer, make_upstream: MakeUpstream, path: str
) -> None:
    make_upstream(whole(b'{"choices":[{"text":"marmalade"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}'))
    server = make_server(audit_prompts=True)
    asked = {"prompt": "gooseberry"} | BODY
    server.api(path, json=asked | {"user": "quince"})
    server.api(path, json=asked | {"n": 1000})
    server.kill()

    answered, refused = audit_lines(server.settings)
    assert json.loads(answered["prompt"]) == {"prompt": "gooseberry", "messages": BODY["messages"]}
    assert (refused["status"], refused["prompt"]) == (400, None)
    for file in (server.settings.data_dir / "usage").iterdir():
        content = file.read_bytes()
        assert [word for word in (b"marmalade", b"quince", API_KEY.encode()) if word in content] == []
        assert (b"gooseberry" in content) == (file.suffix == ".jsonl")

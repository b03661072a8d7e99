"""What is read of a question, what is changed in it, and what is refused before vLLM sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from llm_hoster.errors import HTTPError
from llm_hoster.gateway.question import ANSWERS_MAX, Question, read_question
from llm_hoster.gateway.routes import ROUTES

CHAT = "/v1/chat/completions"


def read(document: Any, path: str = CHAT, *, priority: int = 0, media_hosts: tuple[str, ...] = ()) -> Question:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    environ = EnvironBuilder(path=path, method="POST", data=body, content_type="application/json").get_environ()
    return read_question(Request(environ), ROUTES[path], priority=priority, media_hosts=media_hosts)


def sent(question: Question) -> dict[str, Any]:
    assert question.body is not None
    document: dict[str, Any] = json.loads(question.body)
    return document


def test_what_needs_no_change_is_passed_on_byte_by_byte() -> None:
    body = b'{"model" : "tiny",\n "messages": [], "temperature": 0.0}'
    assert read(body) == Question(body, "tiny")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b"null"])
def test_what_is_no_object_is_left_to_vllm(body: bytes) -> None:
    assert read(body, priority=5) == Question(body)


def test_a_body_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(HTTPError, match="nested too deeply"):
        read(b'{"messages": ' + b"[" * 100_000)


@pytest.mark.parametrize("stream", [True, "true", 1, "1"])
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_a_stream_is_asked_for_its_usage(path: str, stream: object) -> None:
    question = read({"stream": stream}, path)

    assert (question.streams, question.wants_usage) == (True, False)
    assert sent(question)["stream_options"] == {"include_usage": True}


def test_other_options_of_a_stream_stay() -> None:
    question = read({"stream": True, "stream_options": {"include_usage": False, "continuous_usage_stats": True}})

    assert sent(question)["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


def test_who_asks_for_the_usage_gets_it() -> None:
    assert read({"stream": True, "stream_options": {"include_usage": True}}).wants_usage


@pytest.mark.parametrize(("path", "document"), [
    (CHAT, {"stream": False}), (CHAT, {"stream": "perhaps"}), ("/v1/messages", {"stream": True}),
    ("/v1/responses", {"stream": True}), (CHAT, {"stream": True, "stream_options": "wrong"}),
])  # fmt: skip
def test_nothing_else_is_asked_for_its_usage(path: str, document: dict[str, Any]) -> None:
    assert sent(read(document, path)) == document


@pytest.mark.parametrize(("wanted", "priority", "expected"), [
    (None, 0, None), (None, 7, 7), (-5, 7, 7), ("-5", 7, 7), ("-5", 0, 0), (9, 7, 9), (0, 0, 0), ("x", 7, 7),
    (-1, -1000, -1),
])  # fmt: skip
def test_a_client_can_only_make_its_question_less_urgent(wanted: object, priority: int, expected: int | None) -> None:
    document = {"model": "tiny"} | ({} if wanted is None else {"priority": wanted})

    assert sent(read(document, priority=priority)).get("priority") == expected


def test_anthropics_questions_have_no_field_for_it() -> None:
    question = read({"model": "tiny", "priority": -5}, "/v1/messages", priority=7)

    assert sent(question) == {"model": "tiny", "priority": -5}  # vLLM does not look at it.
    assert question.priority == 7


@pytest.mark.parametrize("document", [
    {"n": ANSWERS_MAX + 1}, {"n": str(ANSWERS_MAX + 1)}, {"prompt": ["a"] * (ANSWERS_MAX + 1)},
    {"prompt": ["a"] * 8, "n": 17}, {"prompt": [[1, 2]] * (ANSWERS_MAX + 1)},
])  # fmt: skip
def test_one_request_has_not_more_answers_than_are_given(document: dict[str, Any]) -> None:
    with pytest.raises(HTTPError, match="at most 128"):
        read(document, "/v1/completions")


@pytest.mark.parametrize("document", [
    {"n": ANSWERS_MAX}, {"prompt": [1] * 5000}, {"prompt": []}, {"prompt": "a"}, {"n": None}, {"n": "many"},
])  # fmt: skip
def test_what_asks_for_fewer_is_passed_on(document: dict[str, Any]) -> None:
    assert sent(read(document, "/v1/completions")) == document


def content(kind: str, value: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look."}, {"type": kind, kind: value}]}]}


@pytest.mark.parametrize("address", [
    "http://127.0.0.1:8080/secret.png", "https://example.org/cat.png", "file:///etc/passwd", "HTTP://metadata/latest",
    "//example.org/cat.png", "http://[", "ftp://example.org/x", "http://upload.example.org@127.0.0.1/", "",
])  # fmt: skip
@pytest.mark.parametrize("document", [
    lambda address: content("image_url", {"url": address}),
    lambda address: content("audio_url", {"url": address}),
    lambda address: content("video_url", {"url": address}),
    lambda address: content("image_url", address),
    lambda address: {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": address}]}]},
    lambda address: {"messages": [{"content": [{"type": "image", "source": {"type": "url", "url": address}}]}]},
])  # fmt: skip
def test_nothing_is_fetched_from_an_address(document: Any, address: str) -> None:
    with pytest.raises(HTTPError, match="not from addresses"):
        read(document(address))
    with pytest.raises(HTTPError, match=r"only from upload\.example\.org"):
        read(document(address), media_hosts=("upload.example.org",))


@pytest.mark.parametrize("address", ["data:image/png;base64,aGk=", "DATA:,x", "https://Upload.example.org/cat.png"])
def test_what_is_sent_itself_or_lies_on_an_allowed_host_is_taken(address: str) -> None:
    assert read(content("image_url", {"url": address}), media_hosts=("upload.example.org",)).body is not None


def test_addresses_in_texts_and_tools_are_only_text() -> None:
    tool = {"type": "function", "function": {"name": "get", "parameters": {"properties": {"url": {"default": "x"}}}}}
    document = {
        "messages": [{"content": "See http://127.0.0.1/ please."}],
        "tools": [tool],
        "metadata": {"url": "http://x"},
    }

    assert sent(read(document)) == document

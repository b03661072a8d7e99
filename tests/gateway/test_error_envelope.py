"""vLLM's own error bodies, in whatever shape they come."""

from __future__ import annotations

import json

import pytest

from llm_hoster.gateway.envelope import normalise_error

KEPT = b'{"error":{"message":"The model `nope` does not exist.","type":"NotFoundError","param":"model","code":404}}'


def test_an_error_in_the_envelope_is_passed_on_byte_for_byte() -> None:
    assert normalise_error(404, KEPT) is KEPT


def test_a_path_that_the_model_does_not_have_is_explained() -> None:
    error = json.loads(normalise_error(404, b'{"detail":"Not Found"}'))["error"]

    assert (error["type"], error["code"]) == ("not_found_error", "other_task")
    assert "either a model writes, or it makes embeddings" in error["message"]


@pytest.mark.parametrize(("body", "message"), [
    (b'{"error":"Unauthorized"}', "Unauthorized"),
    (b'{"detail":"Method Not Allowed"}', "Method Not Allowed"),
    (b'{"error":{"message":"short"}}', "short"),
    (b"Internal Server Error", "The engine answered with status 500."),
    (b"[]", "The engine answered with status 500."),
    (b"", "The engine answered with status 500."),
])  # fmt: skip
def test_any_other_error_is_put_into_the_envelope(body: bytes, message: str) -> None:
    error = json.loads(normalise_error(500, body))["error"]

    assert error == {"message": message, "type": "server_error", "param": None, "code": None}


@pytest.mark.parametrize(("status", "kind"), [
    (400, "invalid_request_error"), (413, "request_too_large"), (422, "invalid_request_error"),
    (429, "rate_limit_error"), (500, "api_error"), (503, "overloaded_error"),
])  # fmt: skip
def test_an_error_of_an_anthropic_route_has_anthropics_word_for_it(status: int, kind: str) -> None:
    document = json.loads(normalise_error(status, KEPT, is_anthropic=True))

    message = json.loads(KEPT)["error"]["message"]
    assert document == {"type": "error", "error": {"type": kind, "message": message}}

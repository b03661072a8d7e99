"""The shape of every error under /v1: OpenAI's envelope, and Anthropic's for the routes that are of its API."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from flask import Response

TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
# What vLLM answers where a model has no such path, which is one of those that we pass on.
NO_SUCH_PATH = {"detail": "Not Found"}
OTHER_TASK = "The model of this session cannot do this: either a model writes, or it makes embeddings."
# Anthropic has words of its own for some (docs.anthropic.com, API errors).
ANTHROPIC_TYPES = TYPES | {413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error"}


def error_type(status: int) -> str:
    if status in TYPES:
        return TYPES[status]
    return "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"


def error_envelope(status: int, message: str, *, code: str | None, is_anthropic: bool = False) -> dict[str, Any]:
    if not is_anthropic:
        return {"error": {"message": message, "type": error_type(status), "param": None, "code": code}}
    other = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "api_error"
    return {"type": "error", "error": {"type": ANTHROPIC_TYPES.get(status, other), "message": message}}


def error_response(
    status: int, message: str, *, code: str | None, retry_after_s: int | None = None, is_anthropic: bool = False
) -> Response:
    envelope = error_envelope(status, message, code=code, is_anthropic=is_anthropic)
    response = Response(json.dumps(envelope), status, content_type="application/json")
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def normalise_error(status: int, body: bytes, *, is_anthropic: bool = False) -> bytes:
    """Keep vLLM's body where it is in OpenAI's envelope already, and put its message into one where it is not."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    is_enveloped = isinstance(error, dict) and {"message", "type", "param", "code"} <= error.keys()
    if is_enveloped and not is_anthropic:
        return body
    code = "other_task" if document == NO_SUCH_PATH else None
    text = OTHER_TASK if code else _message(status, document, error)
    return json.dumps(error_envelope(status, text, code=code, is_anthropic=is_anthropic)).encode()


def _message(status: int, document: object, error: object) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    if message is None and isinstance(document, dict):
        message = document.get("detail") or document.get("message")
    return message if isinstance(message, str) else f"The engine answered with status {status}."

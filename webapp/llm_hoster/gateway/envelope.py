"""OpenAI's error envelope, the one shape of every error under /v1."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from flask import Response

TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
# What vLLM answers where a model has no such path, which is one of those that we pass on.
NO_SUCH_PATH = {"detail": "Not Found"}
OTHER_TASK = "The model of this session cannot do this: either a model writes, or it makes embeddings."


def error_type(status: int) -> str:
    if status in TYPES:
        return TYPES[status]
    return "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"


def error_envelope(status: int, message: str, *, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": error_type(status), "param": param, "code": code}}


def error_response(status: int, message: str, *, code: str | None, retry_after_s: int | None = None) -> Response:
    body = json.dumps(error_envelope(status, message, code=code))
    response = Response(body, status, content_type="application/json")
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def normalise_error(status: int, body: bytes) -> bytes:
    """Keep vLLM's body where it is in the envelope already, and put its message into one where it is not."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if document == NO_SUCH_PATH:
        return json.dumps(error_envelope(status, OTHER_TASK, code="other_task")).encode()
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict) and {"message", "type", "param", "code"} <= error.keys():
        return body
    message = error.get("message") if isinstance(error, dict) else error
    if message is None and isinstance(document, dict):
        message = document.get("detail") or document.get("message")
    text = message if isinstance(message, str) else f"The engine answered with status {status}."
    return json.dumps(error_envelope(status, text, code=None)).encode()

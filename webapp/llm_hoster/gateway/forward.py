"""
Passing a request on to vLLM and its answer back, as bytes.

A stream is never parsed here: one chunk of vLLM is one chunk to the client.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http import HTTPStatus

from flask import Request, Response
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError as UpstreamError
from urllib3.exceptions import ProtocolError

from llm_hoster.engine.vllm.connection import Call
from llm_hoster.gateway.envelope import error_envelope, normalise_error

REQUEST_HEADERS = ("Content-Type", "Accept", "X-Request-Id")
# Hop-by-hop headers (RFC 9110, 7.6.1), and those that our own server writes.
DROPPED_RESPONSE_HEADERS = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "date", "server", "set-cookie",
}  # fmt: skip
CHUNK_BYTES = 65536
# Paths of answers that a model writes.
WRITTEN = ("/v1/chat/completions", "/v1/completions")
# The reason with which vLLM hands out what it has of an answer when it ends, as if that were all (_send_abort_outputs
# in v1/engine/core.py).
ABORTED = "abort"
# In a text of the model the quotes would have backslashes.
CUT_OFF = f'"finish_reason":"{ABORTED}"'.encode()
# What vLLM's server says of all questions when its engine has died, with status 500, until it ends itself.
ENGINE_DEAD = "EngineCore encountered an issue"


def forward(call: Call, request: Request, path: str, body: bytes | None) -> Response:
    """Answer with vLLM's answer; raise urllib3's errors and OSError when vLLM is not there."""
    headers = {name: request.headers[name] for name in REQUEST_HEADERS if name in request.headers}
    try:
        call.send(request.method, path, body=body, headers=headers)
        answer = call.response(client=_client_socket(request))
    except BaseException:
        call.close()
        raise
    if answer is None:
        return Response(status=499)  # The client has hung up; nobody reads this.
    if answer.status >= 400:
        return _error_of(call, answer)
    is_whole = path in WRITTEN and answer.headers.get("Content-Type", "").startswith("application/json")
    response = (
        Response(_written(call, answer), answer.status)
        if is_whole
        else Response(Upstream(call, answer), answer.status, direct_passthrough=True)
    )
    copy_headers(answer, response)
    response.headers["X-Accel-Buffering"] = "no"
    return response


class Upstream:
    """The body of vLLM's answer; closing it early, as gunicorn does when the client has gone, aborts the request."""

    def __init__(self, call: Call, answer: BaseHTTPResponse) -> None:
        self._call = call
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.stream(CHUNK_BYTES, decode_content=False)
        except (UpstreamError, OSError):
            if not self._answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise  # gunicorn cuts the connection, which is how HTTP says that a body is not whole.
            message = "The engine ended in the middle of this answer."
            yield b"\n\ndata: " + json.dumps(error_envelope(502, message, code="engine_ended")).encode() + b"\n\n"

    def close(self) -> None:
        self._call.close()


def copy_headers(answer: BaseHTTPResponse, response: Response) -> None:
    named = {name.strip().lower() for name in answer.headers.get("Connection", "").split(",")}
    dropped = DROPPED_RESPONSE_HEADERS | named
    response.headers.clear()
    for name, value in answer.headers.items():
        if name.lower() not in dropped:
            response.headers.add(name, value)


def _written(call: Call, answer: BaseHTTPResponse) -> bytes:
    """Raise urllib3's error for an answer that vLLM has cut off: a program that asks again gets all of it."""
    try:
        body = answer.read(decode_content=False)
    finally:
        call.close()
    if CUT_OFF in body:
        raise ProtocolError("vLLM has ended in the middle of the answer")
    return body


def _error_of(call: Call, answer: BaseHTTPResponse) -> Response:
    """Raise urllib3's error where the answer only says that vLLM is about to end."""
    try:
        body = answer.read(decode_content=False)
    except UpstreamError:
        body = b""
    finally:
        call.close()
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR and ENGINE_DEAD.encode() in body:
        raise ProtocolError("vLLM's engine has died")  # A program that asks again is answered by the next one.
    response = Response(normalise_error(answer.status, body), answer.status, content_type="application/json")
    if "Retry-After" in answer.headers:
        response.headers["Retry-After"] = answer.headers["Retry-After"]
    return response


def _client_socket(request: Request) -> socket.socket | None:
    """gunicorn's own socket of this request, to notice a client that hangs up before vLLM has answered."""
    client = request.environ.get("gunicorn.socket")
    return client if isinstance(client, socket.socket) else None

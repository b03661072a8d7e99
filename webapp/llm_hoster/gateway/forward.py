"""
Passing a request on to vLLM and its answer back, as bytes.

A stream is never parsed here: one chunk of vLLM is one chunk to the client. Its meter only looks on.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from flask import Request, Response
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError as UpstreamError
from urllib3.exceptions import ProtocolError

from llm_hoster.client_socket import client_socket
from llm_hoster.engine.vllm.connection import Call, garbage_as_protocol_error
from llm_hoster.gateway.envelope import error_envelope, normalise_error
from llm_hoster.gateway.meter import BodyMeter, EventMeter, Meter
from llm_hoster.gateway.opened_request import opened_request
from llm_hoster.gateway.pump import Handover
from llm_hoster.gateway.question import Question
from llm_hoster.gateway.request_id import REQUEST_ID_HEADER, request_id
from llm_hoster.gateway.routes import Route
from llm_hoster.usage.record import CLIENT_GONE, ENGINE_ENDED
from llm_hoster.usage.tokens import Tokens

REQUEST_HEADERS = ("Content-Type", "Accept")
# vLLM's own, for Anthropic's API, which has no field for it. A client's is not passed on.
PRIORITY_HEADER = "X-Vllm-Priority"
# Hop-by-hop headers (RFC 9110, 7.6.1), and those that our own server writes.
DROPPED_RESPONSE_HEADERS = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "date", "server", "set-cookie",
}  # fmt: skip
CHUNK_BYTES = 65536
EVENT_STREAM = "text/event-stream"
# What vLLM's server says of all questions when its engine has died, with status 500, until it ends itself.
ENGINE_DEAD = "EngineCore encountered an issue"


def forward(call: Call, request: Request, route: Route, path: str, question: Question) -> Response:
    """Answer with what is answered at `path`; raise urllib3's errors and OSError when nobody is there."""
    headers = {name: request.headers[name] for name in REQUEST_HEADERS if name in request.headers}
    headers[REQUEST_ID_HEADER] = request_id()
    if route.is_anthropic:
        headers[PRIORITY_HEADER] = str(question.priority)
    try:
        call.send(request.method, path, body=question.body, headers=headers)
        client = client_socket(request.environ)
        answer = call.response(client=client)
    except BaseException:
        call.close()
        raise
    if answer is None:
        return Response(status=499)  # The client has hung up; nobody reads this.
    if 400 <= answer.status < 600:
        return _error_of(call, answer, route)
    if answer.status != HTTPStatus.OK:
        call.close()
        raise ProtocolError(f"vLLM never answers with status {answer.status}")
    content_type = answer.headers.get("Content-Type", "")
    is_whole = route.is_cut is not None and content_type.startswith("application/json")
    is_stream = content_type.startswith(EVENT_STREAM)
    meter = EventMeter(hides_usage=route.has_usage_option and not question.wants_usage) if is_stream else BodyMeter()
    if is_whole:
        response = Response(_written(call, answer, route), answer.status)
    else:
        upstream = Upstream(call, answer, route, meter)
        is_carried = is_stream and answer.chunked and client is not None
        if not is_stream:
            upstream.await_first_piece()
        response = Response(
            Handed(upstream, request.environ) if is_carried else upstream, answer.status, direct_passthrough=True
        )
    copy_headers(answer, response)
    response.headers["X-Accel-Buffering"] = "no"
    return response


class Handed:
    """For gunicorn, which sends the head and then gives the rest to the pump."""

    def __init__(self, upstream: Upstream, environ: dict[str, Any]) -> None:
        self._upstream = upstream
        self._environ = environ
        self._is_handed_over = False
        self.call_on_close = upstream.call_on_close

    def __iter__(self) -> Iterator[bytes]:
        yield b""
        self._is_handed_over = True
        handover = self._environ[Handover.NAME] = Handover(self._upstream)
        raise handover

    def close(self) -> None:
        if not self._is_handed_over:
            self._upstream.close()


class Upstream:
    """
    The body of vLLM's answer; closing it early, as gunicorn does when the client has gone, aborts the request.

    A stream of events is given to the pump, which takes what has `begun` and reads the socket; all else is iterated.
    """

    def __init__(self, call: Call, answer: BaseHTTPResponse, route: Route, meter: Meter) -> None:
        self._call = call
        self._answer = answer
        self._route = route
        self._meter = meter
        self._opened = opened_request()
        self._on_close: list[Callable[[], None]] = []
        self._first = b""
        self._pieces = answer.stream(CHUNK_BYTES, decode_content=False)
        self.take = meter.take

    @property
    def engine_socket(self) -> socket.socket:
        return self._call.open_socket

    def begun(self) -> bytes:
        return self._call.read_ahead()

    def call_on_close(self, callback: Callable[[], None]) -> None:
        self._on_close.append(callback)

    def await_first_piece(self) -> None:
        """Raise urllib3's error for a body of which nothing comes: nobody has been told yet that all is well."""
        try:
            with garbage_as_protocol_error():
                self._first = next(self._pieces, b"")
        except (UpstreamError, OSError):
            self._call.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield self.take(self._first)
            with garbage_as_protocol_error():
                yield from map(self.take, self._pieces)
        except (UpstreamError, OSError):
            last = self.break_off()
            if not isinstance(self._meter, EventMeter):
                raise  # gunicorn cuts the connection, which is how HTTP says that a body is not whole.
            yield last
        else:
            yield self.end()

    def end(self) -> bytes:
        if self._meter.ends_with_error:
            self._settle(*ENGINE_ENDED, is_cut=True)
        else:
            self._settle(self._answer.status)
        self._let_go()
        return self._meter.rest()

    def break_off(self) -> bytes:
        self._settle(*ENGINE_ENDED, is_cut=True)
        self._let_go()
        return self._meter.rest() + b"\n\n" + _last_event(self._route)

    def close(self) -> None:
        self._call.close()
        if self._meter.is_final:
            self._settle(self._answer.status)  # Clients hang up at the last word and wait for no end.
        else:
            self._settle(*CLIENT_GONE, is_cut=True)
        self._let_go()

    def _let_go(self) -> None:
        while self._on_close:
            self._on_close.pop()()

    def _settle(self, status: int, error_code: str | None = None, *, is_cut: bool = False) -> None:
        """Once: a stream that has ended is closed after that too."""
        if self._opened is None:
            return
        tokens, first_byte_at = self._meter.tokens(), self._meter.first_byte_at
        is_estimated = is_cut or (tokens is None and isinstance(self._meter, EventMeter))
        if is_estimated:
            told = tokens or self._opened.estimate()
            tokens = Tokens(told.prompt, told.cached, max(told.completion, self._meter.events))
        self._opened.settle(
            status, error_code, tokens=tokens or Tokens(), is_estimated=is_estimated, first_byte_at=first_byte_at
        )


def _last_event(route: Route) -> bytes:
    message = "The engine ended in the middle of this answer."
    envelope = error_envelope(502, message, code="engine_ended", is_anthropic=route.is_anthropic)
    name = b"event: error\n" if route.is_anthropic else b""
    return name + b"data: " + json.dumps(envelope).encode() + b"\n\n"


def is_last_word(status: int, body: bytes) -> bool:
    """Whether an answer says nothing of its question, but that vLLM is about to end."""
    return status == HTTPStatus.INTERNAL_SERVER_ERROR and ENGINE_DEAD.encode() in body


def copy_headers(answer: BaseHTTPResponse, response: Response) -> None:
    named = {name.strip().lower() for name in answer.headers.get("Connection", "").split(",")}
    dropped = DROPPED_RESPONSE_HEADERS | named
    response.headers.clear()
    for name, value in answer.headers.items():
        if name.lower() not in dropped:
            response.headers.add(name, value)


def _written(call: Call, answer: BaseHTTPResponse, route: Route) -> bytes:
    """Raise urllib3's error for an answer that vLLM has cut off: a program that asks again gets all of it."""
    try:
        with garbage_as_protocol_error():
            body = answer.read(decode_content=False)
    finally:
        call.close()
    if route.is_cut is not None and route.is_cut(body):
        raise ProtocolError("vLLM has ended in the middle of the answer")
    return body


def _error_of(call: Call, answer: BaseHTTPResponse, route: Route) -> Response:
    """Raise urllib3's error where the answer only says that vLLM is about to end."""
    try:
        with garbage_as_protocol_error():
            body = answer.read(decode_content=False)
    except UpstreamError:
        body = b""
    finally:
        call.close()
    if is_last_word(answer.status, body):
        raise ProtocolError("vLLM's engine has died")  # A program that asks again is answered by the next one.
    shown = normalise_error(answer.status, body, is_anthropic=route.is_anthropic)
    response = Response(shown, answer.status, content_type="application/json")
    if "Retry-After" in answer.headers:
        response.headers["Retry-After"] = answer.headers["Retry-After"]
    return response

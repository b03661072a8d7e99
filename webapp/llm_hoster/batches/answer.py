"""One line of a batch, asked of vLLM; and whether what comes is an answer, or a reason to ask again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError as UpstreamError
from urllib3.exceptions import NewConnectionError

from llm_hoster.engine.vllm.connection import EngineCall, garbage_as_protocol_error
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.envelope import error_envelope, normalise_error
from llm_hoster.gateway.forward import CHUNK_BYTES, is_last_word
from llm_hoster.gateway.request_id import REQUEST_ID_HEADER
from llm_hoster.gateway.routes import ROUTES, Route

# Larger than any that vLLM writes: an engine that does not end is not read to the end of the memory.
ANSWER_BYTES_MAX = 64 * 2**20
RETRY_AFTER_S = 2.0
RETRY_AFTER_MAX_S = 60.0
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True)
class Answer:
    """`body` is JSON in one line."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return self.status < HTTPStatus.BAD_REQUEST


class EngineBusyError(Exception):
    """The engine takes no questions at the moment; this one has done nothing."""

    def __init__(self, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__()
        self.retry_after_s = min(retry_after_s, RETRY_AFTER_MAX_S)


class EngineEndedError(Exception):
    """The engine has ended in the middle of the answer, or was told to."""


def ask(call: EngineCall, endpoint: str, body: bytes, request_id: str) -> Answer:
    """Wait for the whole answer; raise EngineBusyError or EngineEndedError where there is none."""
    route = ROUTES[endpoint]
    headers = {"Content-Type": route.content_type, REQUEST_ID_HEADER: request_id}
    try:
        call.send("POST", route.path_at_engine, body=body, headers=headers)
        response = call.response()
        assert response is not None  # noqa: S101 - only a watched client makes it None
        return _answer(response, route)
    except NewConnectionError as error:
        raise EngineBusyError from error
    except (UpstreamError, OSError) as error:
        raise EngineEndedError from error
    finally:
        call.close()


def _answer(response: BaseHTTPResponse, route: Route) -> Answer:
    if response.status in BUSY:
        raise EngineBusyError(_seconds(response.headers.get("Retry-After", "")))
    body = _read(response)
    if body is None:
        return _bad_answer("The engine's answer has no end.")
    if is_last_word(response.status, body):
        raise EngineEndedError
    if response.status >= HTTPStatus.BAD_REQUEST:
        return Answer(response.status, _one_line(normalise_error(response.status, body)))
    if route.is_cut is not None and route.is_cut(body):
        raise EngineEndedError
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return _bad_answer("The engine's answer is not JSON.")
    return Answer(response.status, _one_line(body))


def _read(response: BaseHTTPResponse) -> bytes | None:
    body = bytearray()
    with garbage_as_protocol_error():
        for piece in response.stream(CHUNK_BYTES, decode_content=False):
            body += piece
            if len(body) > ANSWER_BYTES_MAX:
                return None
    return bytes(body)


def refused(error: HTTPError) -> Answer:
    """Give what the gateway would have answered to the same question."""
    envelope = error_envelope(error.status, error.message, code=error.code)
    return Answer(error.status, json.dumps(envelope).encode())


def _bad_answer(message: str) -> Answer:
    return refused(HTTPError(HTTPStatus.BAD_GATEWAY, message, code="bad_answer"))


def _one_line(body: bytes) -> bytes:
    return body if b"\n" not in body else json.dumps(json.loads(body), separators=(",", ":")).encode()


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else RETRY_AFTER_S

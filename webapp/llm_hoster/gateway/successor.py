"""
Whom a question goes to: vLLM, or the next session in a row once that has taken over.

A question that meets vLLM in the moment in which it ends goes to the next session, as long as nobody has heard a byte.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from flask import Request, Response, g
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError as UpstreamError
from urllib3.exceptions import NewConnectionError

from llm_hoster.engine.record.state import State
from llm_hoster.engine.record.successor import Successor
from llm_hoster.engine.vllm.connection import CONNECT_TIMEOUT_S, Call, EngineCall
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.forward import forward
from llm_hoster.gateway.opened_request import leave_to_another_session
from llm_hoster.gateway.question import Question
from llm_hoster.gateway.routes import Route
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import RETRY_AFTER_S, engine_state, not_ready

# A node that is gone says nothing. It is found out by the kernel's own questions, since a model may be silent for long.
KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


class SuccessorConnection(HTTPConnection):
    """A connection to another node of the cluster. A stream has no time-out; a node that does not answer has one."""

    def _new_conn(self) -> socket.socket:
        try:
            connection = socket.create_connection((self.host, self.port), timeout=CONNECT_TIMEOUT_S)
        except OSError as error:
            raise NewConnectionError(self, f"the next session does not answer: {error}") from error
        connection.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        return connection


class SuccessorCall(Call):
    """A request to the next session, which knows the same keys."""

    def __init__(self, successor: Successor, api_key: str, *, silence_timeout_s: float | None = None) -> None:
        connection = SuccessorConnection(successor.host, successor.port, timeout=silence_timeout_s)
        super().__init__(connection, silence_timeout_s)
        self._api_key = api_key

    def send(self, method: str, path: str, *, body: bytes | None, headers: Mapping[str, str]) -> None:
        super().send(method, path, body=body, headers={**headers, "Authorization": f"Bearer {self._api_key}"})


def open_call(settings: WebSettings, state: State, *, secret: str | None = None, **options: Any) -> Call:
    """`secret` is the caller's, by which the next session knows whose request it is; without one, the owner's."""
    if state.successor is not None:
        return SuccessorCall(state.successor, secret or settings.api_key, **options)
    return EngineCall(settings.socket_path, **options)


def forward_to_whoever_serves(
    settings: WebSettings, state: State, request: Request, route: Route, question: Question
) -> Response:
    """Raise HTTPError where nobody answers."""
    try:
        response = _ask(settings, state, request, route, question)
    except (UpstreamError, OSError) as error:
        # Read anew: what has become of the engine may have been written meanwhile.
        later = engine_state(settings)
        if state.successor is not None or later.successor is None:
            raise _nobody_answers(later) from error
    else:
        if response.status_code < 500 or state.successor is not None:
            return response
        later = engine_state(settings)
        if later.successor is None:
            return response
        response.close()
    leave_to_another_session()
    try:
        return _ask(settings, later, request, route, question)
    except (UpstreamError, OSError) as error:
        raise _nobody_answers(later) from error


def _ask(settings: WebSettings, state: State, request: Request, route: Route, question: Question) -> Response:
    """The next session has our routes, and vLLM has its own."""
    path = route.path_at_engine if state.successor is None else route.path
    return forward(open_call(settings, state, secret=g.secret), request, route, path, question)


def _nobody_answers(state: State) -> HTTPError:
    if state.successor is None:
        return not_ready(state)
    message = f"The next session has taken over, but does not answer here. Ask it itself: {state.successor.base_url}."
    return HTTPError(502, message, code="successor_unreachable", retry_after_s=RETRY_AFTER_S)

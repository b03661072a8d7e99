"""Questions that come while the model loads: refused with a time to ask again, or held for who wants to wait."""

from __future__ import annotations

import math
import select
import socket
import threading
import time

from flask import Request

from llm_hoster.client_socket import client_socket
from llm_hoster.engine.record.state import COMING, SERVING, State
from llm_hoster.errors import HTTPError
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import RETRY_AFTER_S, engine_state, not_ready

WAIT_HEADER = "X-Wait-For-Model"
WAIT_ARGUMENT = "wait"
# The largest models load for half an hour.
WAIT_MAX_S = 3600.0
POLL_S = 0.25
# Each holds one of gunicorn's threads, of which pages and the answers that begin then need some.
WAITING_MAX = 32
_places = threading.BoundedSemaphore(WAITING_MAX)


def state_to_ask(settings: WebSettings, state: State, request: Request) -> State:
    """Give a state in which somebody answers; raise HTTPError where there is none, or none in time."""
    wait_s = _wait_s(request)
    if _is_served(state) or wait_s <= 0 or state.state not in COMING:
        return _served(state)
    if not _places.acquire(blocking=False):
        message = f"{WAITING_MAX} others wait for the model already. Ask again."
        raise HTTPError(503, message, code="too_many_wait", retry_after_s=RETRY_AFTER_S)
    try:
        return _served(_wait(settings, state, request, time.monotonic() + wait_s))
    finally:
        _places.release()


def _wait(settings: WebSettings, state: State, request: Request, deadline: float) -> State:
    client = client_socket(request.environ)
    while state.state in COMING and state.successor is None and time.monotonic() < deadline:
        if _hangs_up(client):
            raise HTTPError(499, "The client has gone.", code="client_gone")
        state = engine_state(settings)
    return state


def _hangs_up(client: socket.socket | None) -> bool:
    """Wait a moment, and watch who waits with us."""
    poll = select.poll()
    if client is not None:
        poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(POLL_S * 1000))


def _wait_s(request: Request) -> float:
    text = request.headers.get(WAIT_HEADER) or request.args.get(WAIT_ARGUMENT) or "0"
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = math.nan
    if not 0 <= wait_s <= WAIT_MAX_S:
        message = f"{WAIT_HEADER} or ?{WAIT_ARGUMENT}= is {text[:40]!r}; expected seconds, at most {WAIT_MAX_S:.0f}."
        raise HTTPError(400, message, code="invalid_wait")
    return wait_s


def _served(state: State) -> State:
    if not _is_served(state):
        raise not_ready(state)
    return state


def _is_served(state: State) -> bool:
    return state.state in SERVING or state.successor is not None

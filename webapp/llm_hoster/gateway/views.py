"""The endpoint's views: the key first, then the one route that the path names, then whoever serves."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import cast

from flask import Blueprint, Response, current_app, g, request
from werkzeug.exceptions import MethodNotAllowed

from llm_hoster.current import current_gate, current_settings
from llm_hoster.engine.record.state import State
from llm_hoster.errors import HTTPError
from llm_hoster.gateway import recording
from llm_hoster.gateway.forward import Handed, Upstream
from llm_hoster.gateway.key import address_of, is_api_path, require_allowed_model, require_key
from llm_hoster.gateway.opened_request import leave_to_another_session
from llm_hoster.gateway.question import read_question
from llm_hoster.gateway.request_id import REQUEST_ID_HEADER, request_id
from llm_hoster.gateway.routes import ROUTES, Route
from llm_hoster.gateway.successor import forward_to_whoever_serves
from llm_hoster.gateway.waiting import state_to_ask
from llm_hoster.status.ending_notice import ends_at
from llm_hoster.status.engine_notice import does_not_write, engine_state

bp = Blueprint("gateway", __name__)

# Whole seconds until the end of the job, on every answer when it is near.
ENDS_IN_HEADER = "X-Session-Ends-In"
ENDS_SOON_S = 15 * 60

# A path that only becomes one of ours after decoding is not ours.
ENCODED_SEPARATOR = re.compile(r"%2f|%5c|%2e|%00", re.IGNORECASE)

# Flask would answer these two by itself; vLLM has neither.
FLASKS_OWN_METHODS = {"HEAD", "OPTIONS"}


@bp.before_app_request
def check_key() -> None:
    """Look at the key before the route, so that a stranger learns nothing of what exists here."""
    if not is_api_path(request.path):
        return
    g.caller = require_key(current_gate(), request)
    if ENCODED_SEPARATOR.search(request.environ.get("RAW_URI", "").partition("?")[0]):
        raise HTTPError(404, "There is no such route.", code="not_found")
    route = ROUTES.get(request.path)
    if route is not None and request.method == route.method:
        return
    methods = set(current_app.url_map.bind("").allowed_methods(request.path)) - FLASKS_OWN_METHODS
    if methods and request.method not in methods:
        raise MethodNotAllowed(sorted(methods))


def forward_to_engine() -> Response:
    """Answer as vLLM does at this path."""
    route = ROUTES[request.path]
    if request.method == "POST" and request.mimetype != route.content_type:
        message = f"The content type is {request.mimetype or 'none'!r}; expected {route.content_type!r}."
        raise HTTPError(415, message, code="unsupported_media_type")
    place = current_gate().admission.admit(g.caller, address_of(request))
    try:
        response = _answer(route, place.priority)
    except BaseException:
        place.release()
        raise
    _on_end(response, place.release)
    return response


def _on_end(response: Response, callback: Callable[[], None]) -> None:
    """Call when all is sent, or the client has gone. What is passed through is closed without its response."""
    if response.direct_passthrough:
        cast(Handed | Upstream, response.response).call_on_close(callback)
    else:
        response.call_on_close(callback)


def _answer(route: Route, priority: int) -> Response:
    settings = current_settings()
    question = read_question(request, route, priority=priority, media_hosts=settings.media_hosts)
    state = g.engine_state = state_to_ask(settings, request_state(), request)
    if question.body is not None:
        require_allowed_model(g.caller, question.model or state.model.name)  # Who names none means this one.
    if route.writes and state.model.embeds:
        raise does_not_write(state.model)  # vLLM only says that there is no such path.
    if state.successor is None:
        recording.begin(question, state.model.name)
    else:
        leave_to_another_session()
    return forward_to_whoever_serves(settings, state, request, route, question)


for path, each in ROUTES.items():
    bp.add_url_rule(path, view_func=forward_to_engine, methods=[each.method])


@bp.after_app_request
def name_the_request(response: Response) -> Response:
    """Name it to those who may ask; vLLM knows it by the same id."""
    if is_api_path(request.path):
        response.headers[REQUEST_ID_HEADER] = request_id()
    return response


@bp.after_app_request
def say_when_the_session_ends(response: Response) -> Response:
    """Let programs know in good time; strangers learn nothing."""
    if is_api_path(request.path) and response.status_code != 401:
        left_s = ends_at(current_settings(), request_state()) - time.time()
        if left_s < ENDS_SOON_S:
            response.headers[ENDS_IN_HEADER] = str(max(0, int(left_s)))
    return response


@bp.after_app_request
def record_the_request(response: Response) -> Response:
    """Whatever it came to."""
    if is_api_path(request.path):
        recording.record_answer(response)
    return response


def request_state() -> State:
    """Read the state once for each request."""
    if "engine_state" not in g:
        g.engine_state = engine_state(current_settings())
    state: State = g.engine_state
    return state

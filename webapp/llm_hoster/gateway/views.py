"""The three routes of the endpoint. Nothing else of vLLM's can be reached: each view names its path itself."""

from __future__ import annotations

import re
import time

from flask import Blueprint, Response, current_app, g, request
from werkzeug.exceptions import MethodNotAllowed

from llm_hoster.current import current_settings
from llm_hoster.engine.record.state import SERVING, State
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.forward import WRITTEN
from llm_hoster.gateway.key import is_api_path, require_key
from llm_hoster.gateway.successor import forward_to_whoever_serves
from llm_hoster.status.ending_notice import ends_at
from llm_hoster.status.engine_notice import does_not_write, engine_state, not_ready

bp = Blueprint("gateway", __name__, url_prefix="/v1")

# Whole seconds until the end of the job, on every answer when it is near.
ENDS_IN_HEADER = "X-Session-Ends-In"
ENDS_SOON_S = 15 * 60

# A path that only becomes one of ours after decoding is not ours.
ENCODED_SEPARATOR = re.compile(r"%2f|%5c|%2e|%00", re.IGNORECASE)

# Answered by models that write texts only.

# Flask would answer these two by itself; vLLM has neither.
FLASKS_OWN_METHODS = {"HEAD", "OPTIONS"}


@bp.before_app_request
def check_key() -> None:
    """Look at the key before the route, so that a stranger learns nothing of what exists here."""
    if not is_api_path(request.path):
        return
    require_key(current_settings(), request)
    if ENCODED_SEPARATOR.search(request.environ.get("RAW_URI", "").partition("?")[0]):
        raise HTTPError(404, "There is no such route.", code="not_found")
    methods = set(current_app.url_map.bind("").allowed_methods(request.path)) - FLASKS_OWN_METHODS
    if methods and request.method not in methods:
        raise MethodNotAllowed(sorted(methods))


@bp.get("/models")
def models() -> Response:
    """List the models of this session."""
    return forward_to_engine("/v1/models")


@bp.post("/chat/completions")
def chat_completions() -> Response:
    """Complete a chat, streamed or whole."""
    return forward_to_engine("/v1/chat/completions")


@bp.post("/completions")
def completions() -> Response:
    """Complete a text, streamed or whole."""
    return forward_to_engine("/v1/completions")


@bp.post("/embeddings")
def embeddings() -> Response:
    """Embed texts, where the model is made for it."""
    return forward_to_engine("/v1/embeddings")


def forward_to_engine(path: str) -> Response:
    if request.method == "POST" and request.mimetype != "application/json":
        found = request.mimetype or "none"
        raise HTTPError(
            415, f"The content type is {found!r}; expected 'application/json'.", code="unsupported_media_type"
        )
    settings, state = current_settings(), request_state()
    if state.state not in SERVING and state.successor is None:
        raise not_ready(state)
    if path in WRITTEN and state.model.embeds:
        raise does_not_write(state.model)  # vLLM only says that there is no such path.
    return forward_to_whoever_serves(settings, state, request, path)


@bp.after_app_request
def say_when_the_session_ends(response: Response) -> Response:
    """Let programs know in good time; strangers learn nothing."""
    if is_api_path(request.path) and response.status_code != 401:
        left_s = ends_at(current_settings(), request_state()) - time.time()
        if left_s < ENDS_SOON_S:
            response.headers[ENDS_IN_HEADER] = str(max(0, int(left_s)))
    return response


def request_state() -> State:
    """Read the state once for each request."""
    if "engine_state" not in g:
        g.engine_state = engine_state(current_settings())
    state: State = g.engine_state
    return state

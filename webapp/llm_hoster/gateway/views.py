"""The three routes of the endpoint. Nothing else of vLLM's can be reached: each view names its path itself."""

from __future__ import annotations

import re

from flask import Blueprint, Response, current_app, request
from urllib3.exceptions import HTTPError as UpstreamError
from werkzeug.exceptions import MethodNotAllowed

from llm_hoster.current import current_settings
from llm_hoster.engine.connection import EngineCall
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.forward import forward
from llm_hoster.gateway.key import is_api_path, require_key
from llm_hoster.status.engine_notice import engine_state, not_ready

bp = Blueprint("gateway", __name__, url_prefix="/v1")

# A path that only becomes one of ours after decoding is not ours.
ENCODED_SEPARATOR = re.compile(r"%2f|%5c|%2e|%00", re.IGNORECASE)

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


def forward_to_engine(path: str) -> Response:
    if request.method == "POST" and request.mimetype != "application/json":
        found = request.mimetype or "none"
        raise HTTPError(
            415, f"The content type is {found!r}; expected 'application/json'.", code="unsupported_media_type"
        )
    settings = current_settings()
    try:
        return forward(EngineCall(settings.socket_path), request, path)
    except (UpstreamError, OSError) as error:
        raise not_ready(engine_state(settings)) from error

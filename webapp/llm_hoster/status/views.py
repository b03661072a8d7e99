"""The engine's start-up, the head of the page, the API address, and a sign of life."""

from __future__ import annotations

import time

from flask import Blueprint, Response, make_response, render_template, request

from llm_hoster.current import current_engine_state, current_settings, current_store
from llm_hoster.status.snippet import curl_snippet, python_snippet

bp = Blueprint("status", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """Say that the pages are served, and nothing else: everyone may ask."""
    return Response(status=204)


@bp.get("/status")
def show() -> Response:
    """Show the start-up steps, or the composer in their place once the model is ready."""
    state = current_engine_state()
    conversation_id = request.args.get("chat", "")
    response = make_response(
        render_template(
            "chat/_entry.html", state=state, conversation_id=conversation_id,
            messages=current_store().messages(conversation_id), now=time.time(),
        )
    )  # fmt: skip
    if state.state != "starting":
        response.headers["HX-Trigger"] = "engine-changed"
    return response


@bp.get("/session")
def session() -> str:
    """Show model, GPU, time left and SU."""
    return render_template("status/_session.html")


@bp.get("/api-address")
def api_address() -> str:
    """Show the endpoint's address, its key and how to call it."""
    settings = current_settings()
    template = "status/_api_address.html" if request.headers.get("HX-Request") == "true" else "status/api_address.html"
    return render_template(
        template, settings=settings, curl_snippet=curl_snippet(settings), python_snippet=python_snippet(settings)
    )

"""What the owner asks of the supervisor: start the engine again, change the model, stay, end the session."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from flask import Blueprint, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from llm_hoster.current import current_engine_state, current_settings
from llm_hoster.engine.record.order import Kind, Order, give
from llm_hoster.errors import EngineError, HTTPError
from llm_hoster.htmx import wants_part
from llm_hoster.status.models_here import candidates, staged_session

bp = Blueprint("orders", __name__, url_prefix="/engine")

JSON = "application/json"
# The page that a form was sent from. Only its id is taken, so that nobody is led elsewhere.
CONVERSATION = re.compile(r"/chat/([0-9a-z]{32})$")
# What `llm-hoster switch` may say beside the model.
OPTIONS = ("quantization", "preset", "context_length")


@bp.post("/restart")
def restart() -> Response:
    """Start the engine again: as it was launched, or with what the failure's remedy changes."""
    state = current_engine_state()
    values: dict[str, Any] = {}
    if request.form.get("remedy"):
        if state.remedy is None:
            raise HTTPError(409, "This remedy is not offered any more. Reload the page.", code="no_remedy")
        values = asdict(state.remedy.adjustment)
    carry_out("restart", values)
    return answer()


@bp.post("/switch")
def switch() -> Response:
    """Serve another model of the catalogue on the same GPUs."""
    name = request.form.get("model", "")
    session = staged_session(current_settings().staged_root)
    if session is None:
        raise HTTPError(500, "The session's own file session.json cannot be read.", code="no_session_file")
    offered = {each.model.name: each for each in candidates(session)}
    if name not in offered:
        names = ", ".join(offered) or "none"
        message = f"{name[:60]!r} cannot be served here. Models that fit the GPUs of this session: {names}."
        raise HTTPError(400, message, code="model_not_offered")
    chosen = {option: request.form[option] for option in OPTIONS if request.form.get(option)}
    carry_out("switch", offered[name].order | chosen)
    return answer()


@bp.post("/stay")
def stay() -> Response:
    """Somebody is here: the time without a question begins anew."""
    carry_out("stay", {})
    return answer()


@bp.post("/stop")
def stop() -> Response:
    """End the session. The pages go with it, so this answer is their last."""
    carry_out("stop", {})
    if wants_json():
        return jsonify(ok=True)
    return Response(render_template("status/ended.html"), content_type="text/html; charset=utf-8")


def carry_out(kind: Kind, values: dict[str, Any]) -> None:
    """Give the order. When this returns the state is the new one, so that the next page shows what was asked for."""
    try:
        give(current_settings().control_path, Order(kind, values))
    except EngineError as error:
        raise HTTPError(409, str(error), code="order_refused") from error


def answer() -> Response:
    """A program gets JSON, a page with script a word that it is stale, one without script the page itself."""
    if wants_json():
        return jsonify(ok=True)
    if wants_part():
        return Response(status=204, headers={"HX-Trigger": "engine-changed"})
    conversation = CONVERSATION.search(request.referrer or "")
    if conversation is not None:
        return redirect(url_for("chat.show", conversation_id=conversation[1]), 303)
    return redirect(url_for("chat.index"), 303)


def wants_json() -> bool:
    return request.accept_mimetypes.best == JSON

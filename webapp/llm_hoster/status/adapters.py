"""The LoRA adapters that are served, and the order to look for them again."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.current import current_engine_state
from llm_hoster.htmx import wants_part
from llm_hoster.status.orders import carry_out, wants_json

bp = Blueprint("adapters", __name__, url_prefix="/engine")


@bp.get("/adapters")
def show() -> Response:
    """Show the part of the engine's panel that tells of them; the end of a look is told to the whole page."""
    state = current_engine_state()
    response = make_response(render_template("status/_adapters.html", state=state))
    if state.adapter_look is not None and state.adapter_look.ended_at is not None:
        response.headers["HX-Trigger"] = "adapters-changed"
    return response


@bp.post("/adapters")
def look_again() -> BaseResponse:
    """Serve what is in the form's folder now. Nothing in the request says where to look."""
    carry_out("adapters", {})
    if wants_json():
        return jsonify(ok=True)
    return show() if wants_part() else redirect(url_for("status.engine"), 303)

"""The LoRA adapters that are served, and the order to look for them again."""

from __future__ import annotations

from flask import Blueprint, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from llm_hoster.current import current_engine_state
from llm_hoster.status.orders import carry_out, wants_json

bp = Blueprint("adapters", __name__, url_prefix="/engine")


@bp.get("/adapters")
def show() -> str:
    """Show the part of the engine's panel that tells of them."""
    return render_template("status/_adapters.html", state=current_engine_state())


@bp.post("/adapters")
def look_again() -> str | Response:
    """Serve what is in the form's folder now. Nothing in the request says where to look."""
    carry_out("adapters", {})
    if wants_json():
        return jsonify(ok=True)
    return show() if request.headers.get("HX-Request") == "true" else redirect(url_for("status.engine"), 303)

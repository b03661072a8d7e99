"""Coming in and going out."""

from __future__ import annotations

from flask import Blueprint, Flask, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from llm_hoster.access import login, origin
from llm_hoster.current import current_settings
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.key import is_api_path

bp = Blueprint("access", __name__)

# Everything else needs the owner's cookie; the endpoint under /v1 has keys of its own.
# /metrics and /status.json look at cookie and key themselves.
OPEN_ENDPOINTS = {"access.log_in", "static", "status.healthz", "metrics.metrics", "metrics.status"}
# What is left of a path that begins so is not ours: prefix.py has taken our own away.
OTHER_SESSIONS = ("/node/", "/rnode/")


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)
    app.before_request(require_owner)


def require_owner() -> Response | None:
    """Refuse strangers before any route is looked at, unknown paths included."""
    if is_api_path(request.path):
        return None
    origin.require_public_host(request)
    if request.path.startswith(OTHER_SESSIONS):
        raise HTTPError(404, "This address is not of this session. Open it from its card.", code="not_found")
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        origin.require_same_origin(request)
    # Flask answers OPTIONS by itself, without asking the view that looks.
    is_open = request.endpoint in OPEN_ENDPOINTS and request.method != "OPTIONS"
    if is_open or login.is_owner(current_settings(), request):
        return None
    raise HTTPError(401, "This session is private. Open it with the Connect button of its card.", code="login_required")


@bp.post("/login")
def log_in() -> Response:
    """Take the session's secret, as the card's Connect button posts it."""
    settings = current_settings()
    if not login.is_secret(settings, request.form.get("password", "")):
        raise HTTPError(401, "This is not the secret of this session.", code="wrong_secret")
    response = redirect(url_for("chat.index"), 303)
    login.log_in(settings, request, response)
    return response


@bp.post("/logout")
def log_out() -> Response:
    """Take the cookie back."""
    response = make_response(render_template("access/logged_out.html"))
    login.log_out(current_settings(), request, response)
    return response

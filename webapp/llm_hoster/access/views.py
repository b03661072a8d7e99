"""Coming in and going out."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from llm_hoster.access import language_choice, login, origin
from llm_hoster.access.login_target import login_target, path_to_ask_again
from llm_hoster.current import current_gate, current_settings
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.key import address_of, is_api_path

bp = Blueprint("access", __name__)

# Everything else needs a login; the endpoint under /v1 has keys of its own.
# /metrics and /status.json look at cookie and key themselves.
OPEN_ENDPOINTS = {
    "access.log_in", "static", "status.healthz", "metrics.metrics", "metrics.status", language_choice.ENDPOINT
}  # fmt: skip
# What a guest may do: chat, and learn how programs ask with the guest's own key. All else acts as the owner, in whose
# name the job runs: the kernel knows no guest.
GUESTS_ENDPOINTS = {
    "messages.ask_again", "messages.go_on", "messages.edit", "messages.ask_edited", "messages.show", "messages.rate",
    "messages.source", "messages.passage", "messages.choose", "messages.compare", "models.show", "models.choose",
    "attachments.receive", "attachments.download", "attachments.preview", "attachments.kept",
    "attachments.remove", "chat.shortcuts",
    "settings.show", "settings.save", "settings.reset", "settings.keep", "settings.use", "settings.mark",
    "settings.delete", "settings.restore", "prompts.show", "prompts.menu", "prompts.fill", "prompts.new",
    "prompts.edit", "prompts.create", "prompts.change", "prompts.delete", "prompts.restore",
    "context.show", "context.leave_out", "context.undo", "context.summarise", "context.progress",
    "context.stop",
    "chat.news", "chat.title",
    "chat.index", "chat.show", "chat.earlier", "chat.create", "chat.send", "chat.events", "chat.stop", "chats.show",
    "chats.deleted", "chats.manage", "chats.change", "chats.delete", "chats.restore", "chats.erase", "exchange.show",
    "exchange.receive", "exchange.undo", "exchange.export_all", "exchange.export_json", "exchange.export_markdown",
    "exchange.export_html", "status.show", "status.session", "status.connect", "access.log_out",
    "sharing.show", "sharing.share", "sharing.unshare", "vitals.show",
}  # fmt: skip
# What is left of a path that begins so is not ours: prefix.py has taken our own away.
OTHER_SESSIONS = ("/node/", "/rnode/")


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)
    app.register_blueprint(language_choice.bp)
    app.before_request(require_login)
    app.context_processor(template_values)


def template_values() -> dict[str, Any]:
    return {
        "is_owner": lambda: "visitor" in g and g.visitor.is_owner,
        "login_target": lambda: login_target(request),
        "path_to_ask_again": lambda: path_to_ask_again(request),
    }


def require_login() -> Response | None:
    """Refuse strangers, and guests what is the owner's, before any route is looked at, unknown paths included."""
    if is_api_path(request.path):
        return None
    origin.require_public_host(request)
    if request.path.startswith(OTHER_SESSIONS):
        raise HTTPError(404, "This address is not of this session. Open it from its card.", code="not_found")
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        origin.require_same_origin(request)
    # Flask answers OPTIONS by itself, without asking the view that looks.
    is_open = request.endpoint in OPEN_ENDPOINTS and request.method != "OPTIONS"
    key_id = login.visitor_id(current_settings(), request)
    visitor = None if key_id is None else current_gate().ring.find_id(key_id)
    if visitor is not None:
        g.visitor = visitor
    if is_open or (visitor is not None and (visitor.is_owner or request.endpoint in GUESTS_ENDPOINTS)):
        return None
    if visitor is not None:
        raise HTTPError(403, "Only the owner of this session can do this; you are a guest here.", code="owner_only")
    raise HTTPError(401, "This session is private. Open it with the Connect button of its card.", code="login_required")


@bp.post("/login")
def log_in() -> Response:
    """Take the session's secret, as the card's Connect button posts it, or a key, and lead to what was asked for."""
    settings, gate = current_settings(), current_gate()
    password = request.form.get("password", "").strip()
    target = login_target(request)
    response = redirect(url_for("chat.index") if target is None else target.path, 303)
    if login.is_secret(settings, password):
        login.log_in(settings, request, response)
        return response
    key = gate.ring.find(password) if password else None
    if key is None or key.is_owner:  # The owner's key lies in scripts; it opens no page.
        if password:
            gate.guesses.note(address_of(request))
        raise HTTPError(401, "This is neither the secret of this session nor a valid key.", code="wrong_secret")
    login.log_in(settings, request, response, key.id)
    return response


@bp.post("/logout")
def log_out() -> Response:
    """Take the cookie back."""
    response = make_response(render_template("access/logged_out.html"))
    login.log_out(current_settings(), request, response)
    return response

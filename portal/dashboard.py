"""The dashboard's pages: apps, form, session cards. Part of the stand-in for Open OnDemand: for demo and tests only."""

from __future__ import annotations

import hmac
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, abort, current_app, flash, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from portal.batch_app import FIELD_PREFIX, BatchApp
from portal.batch_session import BatchSession, SessionStore
from portal.jobs import JobError, JobInfo
from portal.launch import LaunchError, launch
from portal.ruby import RubyError, ask_ruby
from portal.settings import PortalSettings

SETTINGS_VARIABLE = "PORTAL_SETTINGS"
URL_PREFIX = "/pun/sys/dashboard"
CHANGING = {"Queued", "Starting"}
QUICK_REFRESH_S = 2
SLOW_REFRESH_S = 10  # OnDemand's own, and its minimum
STRICT_CSP = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'"

pages = Blueprint("pages", __name__)


@dataclass(frozen=True)
class Card:
    """One session on the page. `parts` is render.rb's answer: name -> [HTML, error]."""

    session: BatchSession
    state: str
    info: JobInfo
    parts: dict[str, tuple[str | None, str | None]]
    created: str

    @property
    def time_left(self) -> str:
        limit, used = self.info.wallclock_limit, self.info.wallclock_time
        if limit is None or used is None or self.state not in {"Starting", "Running"}:
            return ""
        minutes = max(0, limit - used) // 60
        return f"{minutes // 60} h {minutes % 60} min"


def create_app(settings: PortalSettings | None = None) -> Flask:
    """Make the application; without an argument, as gunicorn calls it, read the file named by PORTAL_SETTINGS."""
    settings = settings or PortalSettings.from_file(Path(os.environ[SETTINGS_VARIABLE]))
    app = Flask(__name__, static_folder="static", static_url_path=f"{URL_PREFIX}/static")
    app.config.update(
        PORTAL=settings,
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="_dashboard_session",
        SESSION_COOKIE_PATH="/pun",
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.jinja_env.globals.update(csrf_token=csrf_token, field_prefix=FIELD_PREFIX, bootstrap=settings.bootstrap)
    app.before_request(refuse_forged_request)
    if settings.strict_csp:
        app.after_request(block_inline_script)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(pages, url_prefix=URL_PREFIX)
    return app


def csrf_token() -> str:
    """Return the token of this browser's session, made at first use."""
    return str(session.setdefault("csrf_token", secrets.token_urlsafe(24)))


def refuse_forged_request() -> None:
    """Refuse a change that does not carry the token, as Rails does."""
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return
    sent = request.form.get("authenticity_token", "") or request.headers.get("X-CSRF-Token", "")
    if not hmac.compare_digest(sent.encode(), csrf_token().encode()):
        abort(422, "The page's token is missing or old. Load the page again.")


def block_inline_script(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = STRICT_CSP
    return response


def portal() -> PortalSettings:
    settings = current_app.config["PORTAL"]
    assert isinstance(settings, PortalSettings)  # noqa: S101 - create_app put it there
    return settings


def batch_app(token: str) -> BatchApp:
    if token != portal().token:
        abort(404)
    return BatchApp.from_folder(portal().app_root, token, portal().accounts)


@pages.get("/")
def apps() -> str:
    return render_template("apps.html", apps=[batch_app(portal().token)])


@pages.get("/batch_connect/<path:token>/session_contexts/new")
def new_session_context(token: str) -> str:
    app = batch_app(token)
    return render_template("form.html", app=app, values=app.context(), error=None)


@pages.post("/batch_connect/<path:token>/session_contexts")
def create_session(token: str) -> str | Response:
    app = batch_app(token)
    # Rails takes the last of several values: the hidden 0 of a check box comes before its 1.
    context = app.context({name: values[-1] for name, values in request.form.lists()})
    try:
        launch(portal(), app, context)
    except LaunchError as error:
        return render_template("form.html", app=app, values=context, error=error)
    flash("Session was successfully created.")
    return redirect(url_for("pages.sessions"))


@pages.get("/batch_connect/sessions")
def sessions() -> str:
    store = SessionStore(portal())
    cards = [card_of(store, one) for one in store.all()]
    states = {card.state for card in cards}
    refresh_s = QUICK_REFRESH_S if states & CHANGING else SLOW_REFRESH_S if "Running" in states else None
    return render_template("sessions.html", cards=cards, refresh_s=refresh_s)


def card_of(store: SessionStore, one: BatchSession) -> Card:
    try:
        info = store.job_info(one)
    except JobError:
        info = JobInfo("undetermined")
    return Card(
        session=one,
        state=store.card_state(one, info),
        info=info,
        parts=card_parts(store, one, info),
        created=time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(one.created_at)),
    )


def card_parts(store: SessionStore, one: BatchSession, info: JobInfo) -> dict[str, Any]:
    question = {"do": "card", "session": store.for_ruby(one, info), "session_in_view": store.settings.session_in_view}
    try:
        return dict(ask_ruby(question))
    except RubyError as error:
        return {"info": (None, error.message)}


def session_or_404(session_id: str) -> BatchSession:
    found = SessionStore(portal()).find(session_id)
    if found is None:
        abort(404)
    return found


@pages.route("/batch_connect/sessions/<uuid:session_id>", methods=["POST", "DELETE"])
def delete_session(session_id: object) -> Response:
    """End the job and drop the card; the session's files stay, as in OnDemand."""
    if request.method == "POST" and request.form.get("_method") != "delete":
        abort(404)
    one = session_or_404(str(session_id))
    end_job(one)
    SessionStore(portal()).remove(one)
    flash("Session was successfully deleted.")
    return redirect(url_for("pages.sessions"), 303)


@pages.post("/batch_connect/sessions/<uuid:session_id>/cancel")
def cancel_session(session_id: object) -> Response:
    """End the job and keep the card, as OnDemand does where a site turns Cancel on."""
    end_job(session_or_404(str(session_id)))
    flash("Session was successfully canceled.")
    return redirect(url_for("pages.sessions"), 303)


def end_job(one: BatchSession) -> None:
    try:
        portal().jobs.delete(one.job_id)
    except JobError as error:
        abort(502, str(error))

"""The web app of a session: its factory, its list of parts, and how every error is answered."""

from __future__ import annotations

import sqlite3

from flask import Flask, Response, current_app, g, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from llm_hoster import current, htmx, language
from llm_hoster.access import policy
from llm_hoster.access import views as access
from llm_hoster.access.prefix import Prefix
from llm_hoster.batches import views as batches
from llm_hoster.bundle import BundlingFlask
from llm_hoster.chat import (
    attachment_views,
    context_page,
    context_views,
    message_views,
    model_views,
    prompt_views,
    settings_views,
    sharing,
    side_list,
)
from llm_hoster.chat import views as chat
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.exchange import views as exchange
from llm_hoster.chat.merge import Merger, history_path
from llm_hoster.chat.replies import Replies
from llm_hoster.chat.schema import is_damage
from llm_hoster.deadlines import WatchedBodies
from llm_hoster.errors import AttachmentError, HTTPError
from llm_hoster.gateway import envelope
from llm_hoster.gateway import views as gateway
from llm_hoster.gateway.gate import make_gate
from llm_hoster.gateway.key import is_api_path
from llm_hoster.gateway.routes import ROUTES
from llm_hoster.settings import WebSettings
from llm_hoster.status import adapters, keys, metrics_views, next_session, orders, vitals
from llm_hoster.status import page as status_page
from llm_hoster.status import views as status
from llm_hoster.usage.recorder import make_recorder

BODY_LIMIT_BYTES = 20 * 1024 * 1024
HISTORY_IS_DAMAGED = (
    "A file of your conversations was damaged. It is kept, and a new one has been begun: load the page again, which "
    "says more."
)
STATIC_AGE_S = 600  # Not longer: the next session may have this very port, and another version of the app.


def create_app(settings: WebSettings | None = None) -> Flask:
    """Make the app; without `settings` they come from the file that `serve` names in the environment."""
    settings = settings or WebSettings.from_env()
    app = BundlingFlask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=BODY_LIMIT_BYTES, MAX_FORM_MEMORY_SIZE=BODY_LIMIT_BYTES)
    app.config.update(SEND_FILE_MAX_AGE_DEFAULT=STATIC_AGE_S)
    # A path is what it says: no redirect from // to /, which under /v1 would leave the envelope.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    language.init_app(app)
    htmx.init_app(app)
    store = ConversationStore(history_path(settings))
    Merger(store, settings.data_dir, settings.staged_root).start()
    recorder = make_recorder(settings)
    current.install(app, settings, store, Replies(settings, store, recorder), make_gate(settings, recorder), recorder)
    access.init_app(app)
    policy.init_app(app)
    app.register_blueprint(gateway.bp)
    app.register_blueprint(status.bp)
    app.register_blueprint(next_session.bp)
    app.register_blueprint(orders.bp)
    app.register_blueprint(adapters.bp)
    metrics_views.init_app(app, settings, recorder)
    vitals.init_app(app)
    batches.init_app(app, settings)
    app.register_blueprint(keys.bp)
    app.register_blueprint(chat.bp)
    app.register_blueprint(side_list.bp)
    app.register_blueprint(message_views.bp)
    app.register_blueprint(model_views.bp)
    app.register_blueprint(attachment_views.bp)
    app.register_blueprint(settings_views.bp)
    app.register_blueprint(prompt_views.bp)
    context_page.init_app(app)
    app.register_blueprint(context_views.bp)
    sharing.init_app(app, settings)
    exchange.init_app(app)
    app.context_processor(status_page.template_values)
    app.register_error_handler(HTTPError, answer_error)
    app.register_error_handler(AttachmentError, answer_attachment_error)
    app.register_error_handler(HTTPException, answer_http_exception)
    app.register_error_handler(sqlite3.DatabaseError, answer_damage)
    app.register_error_handler(Exception, answer_fault)
    app.wsgi_app = WatchedBodies(Prefix(app.wsgi_app, settings.host, settings.port))  # type: ignore[method-assign]
    return app


def answer_error(error: HTTPError) -> Response:
    """Answer in OpenAI's envelope under /v1 and to programs, as a fragment to htmx, and as a page elsewhere."""
    g.error_code = error.code
    if is_api_path(request.path) or orders.wants_json():
        return envelope.error_response(
            error.status,
            error.message,
            code=error.code,
            retry_after_s=error.retry_after_s,
            is_anthropic=request.path in ROUTES and ROUTES[request.path].is_anthropic,
        )
    if htmx.wants_part():
        template = "_error.html"
    elif error.status == 401:
        template = "access/login.html"
    else:
        template = "error.html"
    response = make_response(render_template(template, error=error), error.status)
    response.headers["Vary"] = "HX-Request"
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def answer_attachment_error(error: AttachmentError) -> Response:
    return answer_error(HTTPError(422, str(error), code=f"attachment_{error.reason}"))


def answer_http_exception(error: HTTPException) -> Response:
    """Give Flask's own errors (no such route, wrong method, too large) our shape."""
    status = error.code or 500
    if 300 <= status < 400:
        return make_response(error.get_response())
    response = answer_error(HTTPError(status, _message(status), code=error.name.lower().replace(" ", "_")))
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def answer_damage(error: sqlite3.DatabaseError) -> Response:
    """Go on with a new history where this one is damaged; whoever asks again finds a page."""
    if not is_damage(error) or not current.current_store().begin_anew():
        return answer_fault(error)
    return answer_error(HTTPError(503, HISTORY_IS_DAMAGED, code="history_damaged"))


def answer_fault(error: Exception) -> Response:
    """Log a fault of ours with its traceback, and tell the person nothing of the inside."""
    current_app.logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return answer_error(HTTPError(500, "Something went wrong here; web.log of the session says what.", code="fault"))


def _message(status: int) -> str:
    messages = {
        404: f"There is no {request.path[:200]!r} here.",
        405: f"{request.method} is not possible on {request.path[:200]!r}.",
        413: f"The request is larger than {BODY_LIMIT_BYTES // 1024 // 1024} MB, the most this session takes.",
    }
    return messages.get(status, "The request could not be understood.")

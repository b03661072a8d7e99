"""The web app of a session: its factory, its list of parts, and how every error is answered."""

from __future__ import annotations

from flask import Flask, Response, current_app, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from llm_hoster import current
from llm_hoster.access import policy
from llm_hoster.access import views as access
from llm_hoster.access.prefix import Prefix
from llm_hoster.chat import views as chat
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.replies import Replies
from llm_hoster.errors import HTTPError
from llm_hoster.gateway import envelope
from llm_hoster.gateway import views as gateway
from llm_hoster.gateway.key import is_api_path
from llm_hoster.settings import WebSettings
from llm_hoster.status import adapters, metrics_views, next_session, orders
from llm_hoster.status import page as status_page
from llm_hoster.status import views as status

BODY_LIMIT_BYTES = 20 * 1024 * 1024
STATIC_AGE_S = 600  # Not longer: the next session may have this very port, and another version of the app.


def create_app(settings: WebSettings | None = None) -> Flask:
    """Make the app; without `settings` they come from the file that `serve` names in the environment."""
    settings = settings or WebSettings.from_env()
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=BODY_LIMIT_BYTES, MAX_FORM_MEMORY_SIZE=BODY_LIMIT_BYTES)
    app.config.update(SEND_FILE_MAX_AGE_DEFAULT=STATIC_AGE_S)
    # A path is what it says: no redirect from // to /, which under /v1 would leave the envelope.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    store = ConversationStore(settings.data_dir / "history" / f"{settings.session_id}.sqlite3")
    current.install(app, settings, store, Replies(settings, store))
    access.init_app(app)
    policy.init_app(app)
    app.register_blueprint(gateway.bp)
    app.register_blueprint(status.bp)
    app.register_blueprint(next_session.bp)
    app.register_blueprint(orders.bp)
    app.register_blueprint(adapters.bp)
    metrics_views.init_app(app, settings)
    app.register_blueprint(chat.bp)
    app.context_processor(status_page.template_values)
    app.register_error_handler(HTTPError, answer_error)
    app.register_error_handler(HTTPException, answer_http_exception)
    app.register_error_handler(Exception, answer_fault)
    app.wsgi_app = Prefix(app.wsgi_app, settings.host, settings.port)  # type: ignore[method-assign]
    return app


def answer_error(error: HTTPError) -> Response:
    """Answer in OpenAI's envelope under /v1 and to programs, as a fragment to htmx, and as a page elsewhere."""
    if is_api_path(request.path) or orders.wants_json():
        return envelope.error_response(error.status, error.message, code=error.code, retry_after_s=error.retry_after_s)
    if request.headers.get("HX-Request") == "true":
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

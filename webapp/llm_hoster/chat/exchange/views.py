"""Conversations as files: to take with one, and to bring."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import cast

from flask import Blueprint, Flask, Response, current_app, g, make_response, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.chat.act import act
from llm_hoster.chat.exchange import own_format, upload
from llm_hoster.chat.exchange.file_name import disposition, file_name
from llm_hoster.chat.exchange.html_export import html_of
from llm_hoster.chat.exchange.import_run import ImportRun
from llm_hoster.chat.exchange.imports import Imports
from llm_hoster.chat.exchange.markdown_export import markdown_of
from llm_hoster.chat.side_list import list_values, require_conversation
from llm_hoster.current import current_settings, current_store
from llm_hoster.errors import HTTPError
from llm_hoster.htmx import wants_part
from llm_hoster.status.views import panel

bp = Blueprint("exchange", __name__, url_prefix="/chats")

EXTENSION = "llm_hoster_imports"
# Most files are in the history by then: what came of them is told at once.
PATIENCE_S = 0.7
RETRY_AFTER_S = 5


def init_app(app: Flask) -> None:
    app.extensions[EXTENSION] = Imports()
    app.register_blueprint(bp)


@bp.get("/files")
def show() -> str:
    """Offer all that one has as a file, and a form for such a file; and tell of the last import."""
    return _panel(with_list=request.args.get("watched") == "1")


@bp.post("/import")
def receive() -> BaseResponse:
    """Take a file and begin; what came of it is on the page. A refusal is told in the panel, which covers the page."""
    try:
        run = _begin()
    except HTTPError as error:
        if not wants_part():
            raise
        return make_response(_panel(refusal=error.message))
    run.wait(PATIENCE_S)
    return _answer()


def _begin() -> ImportRun:
    imports, visitor = _imports(), g.visitor
    if not imports.enter(visitor.id):
        message = "Another import is running. Try again when it has ended."
        raise HTTPError(429, message, code="import_running", retry_after_s=RETRY_AFTER_S)
    try:
        file, length = upload.receive(request, current_settings().runtime_dir)
        run = ImportRun(current_store(), visitor, file, length)
        imports.begin(run)
    finally:
        imports.leave()
    return run


@bp.post("/import/<import_id>/undo")
def undo(import_id: str) -> BaseResponse:
    run = _imports().last(g.visitor.id)
    if run is None or run.id != import_id:
        raise HTTPError(404, "There is no such import in this session.", code="not_found")
    act(run.undo)
    return _answer()


@bp.get("/export.json")
def export_all() -> Response:
    """Write all conversations of the visitor while they are read; that may take minutes."""
    store = current_store()
    lines = own_format.document(store, own_format.all_conversations(store, g.visitor.id))
    return _download(lines, f"chats-{date.today().isoformat()}", "json", "application/json")


@bp.get("/<conversation_id>/export.json")
def export_json(conversation_id: str) -> Response:
    conversation = require_conversation(conversation_id)
    lines = own_format.document(current_store(), iter([conversation]))
    return _download(lines, conversation.title, "json", "application/json")


@bp.get("/<conversation_id>/export.md")
def export_markdown(conversation_id: str) -> Response:
    conversation = require_conversation(conversation_id)
    messages = current_store().messages(conversation.id, g.visitor.id)
    # At once: the reader's language is known while the request is.
    return _download([*markdown_of(conversation, messages)], conversation.title, "md", "text/markdown")


@bp.get("/<conversation_id>/export.html")
def export_html(conversation_id: str) -> Response:
    conversation = require_conversation(conversation_id)
    messages = current_store().messages(conversation.id, g.visitor.id)
    return _download([html_of(conversation, messages)], conversation.title, "html", "text/html")


def _answer() -> BaseResponse:
    if wants_part():
        return make_response(_panel(with_list=True))
    return redirect(url_for("exchange.show"), 303)


def _panel(*, with_list: bool = False, refusal: str | None = None) -> str:
    """Give the panel; where an import has changed the list of a page with scripts, that comes along."""
    run = _imports().last(g.visitor.id)
    around = request.headers.get("HX-Current-URL", "").partition("?")[0]
    is_changed = with_list and run is not None and not run.is_running
    # The panel's own page has no list beside it. Else the address ends with what is shown.
    has_list = wants_part() and not around.endswith(url_for("exchange.show"))
    values = list_values(around.rpartition("/")[2]) if is_changed and has_list else {}
    return panel(
        "exchange/_files.html", "Export and import", run=run, refusal=refusal, with_list=bool(values), **values
    )


def _imports() -> Imports:
    return cast(Imports, current_app.extensions[EXTENSION])


def _download(lines: Iterable[str], title: str, ending: str, kind: str) -> Response:
    response = Response(lines, content_type=f"{kind}; charset=utf-8")
    response.headers["Content-Disposition"] = disposition(file_name(title, ending))
    return response

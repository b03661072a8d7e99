"""The list of conversations beside the chat: pages of it, what is searched for, and what is done with one of them."""

from __future__ import annotations

from datetime import date
from typing import Any

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.chat.act import act, no_such_chat
from llm_hoster.chat.attached_files import store_of
from llm_hoster.chat.days import groups_of
from llm_hoster.chat.listing import PAGE
from llm_hoster.chat.message import Conversation, title_of
from llm_hoster.current import current_replies, current_settings, current_store
from llm_hoster.htmx import wants_part
from llm_hoster.status.views import panel

bp = Blueprint("chats", __name__, url_prefix="/chats")

FOLDER_MAX = 60
QUERY_MAX = 200


@bp.route("/", methods=["GET", "POST"])
def show() -> str:
    """
    Show the list, the rest of it, or what was found: a part of the page to htmx, and else a page.

    Words are posted: a portal writes addresses into its log.
    """
    values = list_values(
        request.values.get("shown", ""),
        query=request.form.get("q", "")[:QUERY_MAX],
        folder=request.args.get("folder", "")[:FOLDER_MAX],
        after=request.args.get("after", ""),
        is_new=request.args.get("new") == "1",
    )
    if not wants_part():
        return render_template("chat/chats.html", **values)
    return render_template("chat/_gathered.html" if values["is_new"] else "chat/_conversation_list.html", **values)


@bp.get("/deleted")
def deleted() -> str:
    """List what can be restored."""
    return panel("chat/_deleted.html", "Deleted chats", deleted=current_store().deleted(g.visitor.id))


@bp.get("/<conversation_id>")
def manage(conversation_id: str) -> str:
    """Offer what can be done with one."""
    return panel(
        "chat/_manage.html",
        "Chat",
        conversation=require_conversation(conversation_id),
        folders=current_store().folders(g.visitor.id),
        shown=request.args.get("shown", ""),
    )


@bp.post("/<conversation_id>")
def change(conversation_id: str) -> BaseResponse:
    """Set its title, its folder or whether it is pinned: what the form has of these."""
    conversation, form = require_conversation(conversation_id), request.form
    changes: dict[str, Any] = {}
    if form.get("title", "").strip():
        changes["title"] = title_of(form["title"].replace("\0", ""))
    if "folder" in form:
        changes["folder"] = " ".join(form["folder"].replace("\0", "").split())[:FOLDER_MAX]
    if "pinned" in form:
        changes["pinned"] = form["pinned"] == "1"
    if changes:
        act(lambda: current_store().change(conversation.id, g.visitor.id, changes))
    return answer(url_for("chat.show", conversation_id=conversation.id))


@bp.post("/<conversation_id>/delete")
def delete(conversation_id: str) -> BaseResponse:
    """Take it out of the list. What the model writes in it is kept as far as it came, for whoever restores it."""
    conversation = require_conversation(conversation_id)
    act(lambda: current_store().delete(conversation.id, g.visitor.id))
    current_replies().stop_all(conversation.id, g.visitor.id)
    page = url_for("chat.index", deleted=conversation.id)
    if request.form.get("shown") != conversation.id:
        return answer(page, deleted=conversation)
    return leave(page)


@bp.post("/<conversation_id>/restore")
def restore(conversation_id: str) -> BaseResponse:
    act(lambda: current_store().restore(conversation_id, g.visitor.id))
    return answer(url_for("chat.show", conversation_id=conversation_id))


@bp.post("/<conversation_id>/erase")
def erase(conversation_id: str) -> BaseResponse:
    """Delete it for good, and the files that no other chat has."""
    named = current_store().attachments(g.visitor.id).keys()
    act(lambda: current_store().erase(conversation_id, g.visitor.id))
    current_replies().stop_all(conversation_id, g.visitor.id)
    files = store_of(current_settings(), g.visitor.id)
    for identity in named - current_store().attachments(g.visitor.id).keys():
        files.remove(identity)
    # A tab that still shows it has nothing more to show.
    is_shown = wants_part() and request.form.get("shown") == conversation_id
    return leave(url_for("chat.index")) if is_shown else answer(url_for("chats.deleted"))


def list_values(
    conversation_id: str,
    *,
    query: str = "",
    folder: str = "",
    after: str = "",
    deleted: Conversation | None = None,
    is_new: bool = False,
) -> dict[str, Any]:
    """Give what the list's templates need. `conversation_id` is the one that the page shows, empty where `is_new`."""
    store, key_id = current_store(), g.visitor.id
    last = store.find_conversation(after, key_id) if after else None
    is_search = bool(query.strip())
    conversations = [] if is_search else store.conversations(key_id, folder=folder, after=last)
    return {
        "conversation_id": conversation_id,
        "query": query,
        "folder": folder,
        "folders": store.folders(key_id),
        "found": store.search(query, key_id) if is_search else None,
        "groups": groups_of(conversations, date.today(), last),
        "is_rest": last is not None,
        "last": conversations[-1] if len(conversations) == PAGE else None,
        "is_gathering": store.is_gathering,
        "has_deleted": bool(store.deleted(key_id, limit=1)),
        "history_notice": store.notice,
        "deleted": deleted,
        "is_new": is_new,
        "go_on": last_of_earlier(conversations) if is_new else None,
    }


def last_of_earlier(conversations: list[Conversation]) -> Conversation | None:
    """Give what was used last where that was before this session; nothing where the visitor has chatted in it."""
    last = max(conversations, key=lambda each: each.updated_at, default=None)
    return last if last is not None and last.updated_at < current_settings().started_at else None


def answer(page: str, *, deleted: Conversation | None = None) -> Response:
    """Show the whole list anew to htmx, and the page to a plain form."""
    if not wants_part():
        return make_response(redirect(page, 303))
    values = list_values(request.form.get("shown", ""), deleted=deleted)
    return make_response(render_template("chat/_conversations.html", **values))


def leave(page: str) -> Response:
    """Lead to another page than the one that shows what is there no more."""
    response = answer(page)
    if wants_part():
        response.headers["HX-Redirect"] = page
    return response


def require_conversation(conversation_id: str) -> Conversation:
    conversation = current_store().find_conversation(conversation_id, g.visitor.id)
    if conversation is None:
        raise no_such_chat()
    return conversation

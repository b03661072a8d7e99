"""What is done with one message: another reply, other words, another branch, a rating, its source to copy."""

from __future__ import annotations

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from markupsafe import escape
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.chat.act import act
from llm_hoster.chat.attached_files import files_of
from llm_hoster.chat.message import Message
from llm_hoster.chat.tree import Tree
from llm_hoster.chat.turn import edited_turn, repeated_turn
from llm_hoster.chat.views import ask, require_message
from llm_hoster.current import current_replies, current_settings, current_store
from llm_hoster.errors import HTTPError
from llm_hoster.htmx import wants_part
from llm_hoster.status.views import panel

bp = Blueprint("messages", __name__, url_prefix="/chat/messages")

NO_SUCH_MESSAGE = "There is no such message, or its chat was deleted."
RATINGS = {"good": 1, "bad": -1, "none": 0}


@bp.post("/<message_id>/again")
def ask_again(message_id: str) -> BaseResponse:
    """Have one more reply to the same question; the former one stays beside it."""
    return _repeat(message_id, goes_on=False)


@bp.post("/<message_id>/continue")
def go_on(message_id: str) -> BaseResponse:
    """Have a reply go on where it was cut off."""
    return _repeat(message_id, goes_on=True)


@bp.get("/<message_id>/edit")
def edit(message_id: str) -> str:
    """Offer to put a question in other words, in its place."""
    message, _ = _find(message_id, "user")
    return panel("chat/_edit.html", "Edit", message=message)


@bp.post("/<message_id>/edit")
def ask_edited(message_id: str) -> BaseResponse:
    """Ask a question in other words; the former one stays beside it, with all that came after."""
    message, tree = _find(message_id, "user")
    attachments = files_of(current_settings(), g.visitor.id, request)
    reply = ask(edited_turn(tree, message, require_message(request.form), attachments))
    return _shown(reply.message)


@bp.post("/<message_id>/show")
def show(message_id: str) -> BaseResponse:
    """Show the branch through a message."""
    act(lambda: current_store().show_branch(message_id, g.visitor.id), missing=NO_SUCH_MESSAGE)
    message, _ = _find(message_id)
    return _shown(message)


@bp.post("/<message_id>/rating")
def rate(message_id: str) -> BaseResponse:
    """Keep what the reader thinks of a reply; the same once more takes it back."""
    message, _ = _find(message_id, "assistant")
    rating = RATINGS.get(request.form.get("rating", ""), 0)
    rating = 0 if rating == message.rating else rating
    act(lambda: current_store().rate(message_id, rating, g.visitor.id), missing=NO_SUCH_MESSAGE)
    if not wants_part():
        return _shown(message)
    return Response(render_template("chat/_rating.html", message=_find(message_id)[0]))


@bp.get("/<message_id>/source")
def source(message_id: str) -> Response:
    """Give a message as the model or the person has written it."""
    message, _ = _find(message_id)
    return Response(message.content, content_type="text/plain; charset=utf-8")


@bp.get("/<message_id>/passages/<int:number>")
def passage(message_id: str, number: int) -> Response:
    """Give one of the passages that a reply was written from, by its number."""
    message, _ = _find(message_id, "assistant")
    if not 1 <= number <= len(message.sources):
        raise _no_such_message()
    text = message.sources[number - 1].whole_text
    if wants_part():
        return Response(escape(text), content_type="text/html; charset=utf-8")
    return Response(text, content_type="text/plain; charset=utf-8")


@bp.post("/<message_id>/choose")
def choose(message_id: str) -> BaseResponse:
    """Go on with one of the replies that stand beside each other; those that are still being written are stopped."""
    message, tree = _find(message_id, "assistant")
    for reply in _rivals(message, tree):
        if reply.id != message_id:
            current_replies().stop(reply.id, g.visitor.id)
    return show(message_id)


@bp.post("/<message_id>/compare")
def compare(message_id: str) -> BaseResponse:
    """Show a reply and those to the same question beside each other."""
    message, tree = _find(message_id, "assistant")
    if not _rivals(message, tree):
        raise _no_such_message()
    act(lambda: current_store().change(message.conversation_id, g.visitor.id, {"leaf_id": message.parent_id}))
    return _shown(message)


def _rivals(message: Message, tree: Tree) -> list[Message]:
    """Give all replies to the same question, where they are several."""
    return [] if message.parent_id is None else tree.choices(tree.branch(message.parent_id))


def _repeat(message_id: str, *, goes_on: bool) -> BaseResponse:
    message, tree = _find(message_id, "assistant")
    turn = act(lambda: repeated_turn(tree, message, goes_on=goes_on), missing=NO_SUCH_MESSAGE)
    return _shown(ask(turn).message)


def _find(message_id: str, role: str = "") -> tuple[Message, Tree]:
    store = current_store()
    message = store.find_message(message_id, g.visitor.id)
    if message is None or (role and message.role != role):
        raise _no_such_message()
    return message, store.tree(message.conversation_id, g.visitor.id)


def _shown(message: Message) -> BaseResponse:
    """Lead to the page; htmx takes the messages out of it."""
    return redirect(
        url_for("chat.show", conversation_id=message.conversation_id, at=message.id, _anchor=f"message-{message.id}"),
        303,
    )


def _no_such_message() -> HTTPError:
    return HTTPError(404, NO_SUCH_MESSAGE, code="not_found")

"""The chat's pages, the sending of a message, and the stream of a reply."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from flask import (
    Blueprint,
    Response,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    stream_with_context,
    url_for,
)
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.chat.attached_files import files_of
from llm_hoster.chat.context_page import remember_branch, require_room
from llm_hoster.chat.html_cache import HTMLCache
from llm_hoster.chat.markdown import in_order
from llm_hoster.chat.message import Conversation, Message, is_id, new_id, title_of
from llm_hoster.chat.model_views import keep_model, offered_models
from llm_hoster.chat.reply import Event, Reply, Snapshot
from llm_hoster.chat.side_list import list_values
from llm_hoster.chat.turn import Turn, next_turn
from llm_hoster.chat.window import window_of
from llm_hoster.current import (
    current_engine_state,
    current_gate,
    current_replies,
    current_settings,
    current_store,
)
from llm_hoster.engine.record.state import SERVING
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.admission import Place
from llm_hoster.gateway.key import address_of, require_allowed_model
from llm_hoster.htmx import wants_part
from llm_hoster.status.engine_notice import does_not_write, not_ready
from llm_hoster.status.views import panel

bp = Blueprint("chat", __name__)
bp.add_app_template_filter(HTMLCache().render, "markdown")
bp.add_app_template_filter(in_order)

TITLE_TIMEOUT_S = 20.0
HEARTBEAT_S = 15.0  # Shorter than any proxy's time-out, and how a gone browser is noticed.
MESSAGE_LIMIT = 1_000_000
EVENT_STREAM = "text/event-stream"
DELETED = "This chat was deleted. It can be restored under “Deleted chats”."
EMPTY_SNAPSHOT = Snapshot(html="", tail="", rest="", reasoning="", number=0)


@bp.get("/")
def index() -> BaseResponse | str:
    """
    Show an empty chat. Its id is made here, so that the first message needs one request only.

    A login leads here with the chat that was asked for: that one is shown where it is the visitor's own.
    """
    wanted = request.args.get("chat")
    if wanted and current_store().find_conversation(wanted, g.visitor.id) is not None:
        return redirect(url_for("chat.show", conversation_id=wanted), 303)
    deleted = current_store().find_deleted(request.args.get("deleted", ""), g.visitor.id)
    return render_template("chat/page.html", **page_values(new_id(), [], deleted))


@bp.get("/chat/<conversation_id>")
def show(conversation_id: str) -> str:
    """Show a conversation; a running reply goes on where the page was rendered."""
    conversation = current_store().find_conversation(conversation_id, g.visitor.id)
    if conversation is None:
        is_deleted = current_store().find_deleted(conversation_id, g.visitor.id) is not None
        why = DELETED if is_deleted else "There is no such conversation in this session."
        raise HTTPError(404, why, code="not_found")
    tree = current_store().tree(conversation_id, g.visitor.id)
    branch = tree.branch(conversation.leaf_id)
    remember_branch(conversation_id, conversation, branch)
    window = window_of(branch, at=request.args.get("at", ""))
    replies = current_replies()
    messages = [replies.as_it_is(message, g.visitor.id) for message in window.messages]
    choices = [replies.as_it_is(message, g.visitor.id) for message in tree.choices(branch)]
    values = page_values(conversation_id, messages) | {
        "snapshots": snapshots([*messages, *choices]),
        "siblings": tree.siblings_of(messages),
        "choices": choices,
        "elsewhere": elsewhere(conversation_id, [*branch, *choices]),
        "has_several_models": len(tree.models) > 1,
    }
    return render_template("chat/page.html", conversation=conversation, earlier_id=window.earlier_id, **values)


@bp.get("/chat/<conversation_id>/earlier")
def earlier(conversation_id: str) -> str:
    """Give the messages before one of those that are shown; none of them is running."""
    conversation = current_store().find_conversation(conversation_id, g.visitor.id)
    tree = current_store().tree(conversation_id, g.visitor.id)
    branch = [] if conversation is None else tree.branch(conversation.leaf_id)
    before = request.args.get("before", "")
    if all(message.id != before for message in branch):
        raise HTTPError(404, "There is no such message in this chat.", code="not_found")
    window = window_of(branch, before=before)
    return render_template(
        "chat/_earlier.html",
        conversation_id=conversation_id,
        messages=window.messages,
        snapshots={},
        siblings=tree.siblings_of(window.messages),
        has_several_models=len(tree.models) > 1,
        earlier_id=window.earlier_id,
    )


@bp.get("/shortcuts")
def shortcuts() -> str:
    """List the keys."""
    return panel("chat/_shortcuts.html", "Keyboard shortcuts")


@bp.post("/chat")
def create() -> BaseResponse:
    """Start a new chat, with a first message if there is one."""
    if not request.form.get("message"):
        return redirect(url_for("chat.index"), 303)
    return send(new_id())


@bp.post("/chat/<conversation_id>/messages")
def send(conversation_id: str) -> BaseResponse:
    """
    Ask the model. The page's script gets the turn and its reply as one stream of events, a plain form the page.

    One answer and not two requests, because a browser takes longer for a second one than a model for its first token.
    """
    text = require_message(request.form)
    if not is_id(conversation_id):
        raise HTTPError(404, "There is no such conversation in this session.", code="not_found")
    form = request.form
    branch, has_gone_on = branch_of_reader(conversation_id, form.get("after", ""))
    deleted = None if branch else current_store().find_deleted(conversation_id, g.visitor.id)
    if deleted is not None:
        return refuse_deleted(deleted)
    turn = next_turn(conversation_id, branch, text, files_of(current_settings(), g.visitor.id, request))
    turn = turn.with_rival() if form.get("rival") else turn
    reply = ask(turn, form.get("model", ""), form.get("rival", ""))
    keep_model(conversation_id, form.get("model", ""))
    page = url_for("chat.show", conversation_id=conversation_id)
    if request.accept_mimetypes.best != EVENT_STREAM:
        return redirect(page, 303)
    shown = {
        "html": render_template(
            "chat/_turn.html",
            messages=[turn.question] if turn.rival else [turn.question, turn.reply],
            choices=turn.replies if turn.rival else [],
            snapshots={message.id: EMPTY_SNAPSHOT for message in turn.replies},
            has_several_models=len({message.model for message in [*branch, *turn.replies]} - {None}) > 1,
            siblings=around(turn.question)["siblings"] if has_gone_on else {},
            has_gone_on=has_gone_on,
            lost=offered_models(conversation_id).take(form["model"]).lost if "model" in form else None,
        ),
        "chosen": html_of(branch[-1]) if branch and branch[-1].id != form.get("after") else None,
        "conversations": render_template("chat/_conversation_list.html", **list_values(conversation_id)),
        "url": page,
        "title": title_of(text) if not branch else None,
    }
    return event_response(follow(reply, 0), reply.message, first=encode_event("turn", shown))


@bp.get("/chat/<conversation_id>/title")
def title(conversation_id: str) -> BaseResponse:
    """Give the title that the model makes when it is there; nothing where it comes to nothing."""
    if current_store().find_conversation(conversation_id, g.visitor.id) is not None:
        current_replies().titles.wait(conversation_id, TITLE_TIMEOUT_S)
    conversation = current_store().find_conversation(conversation_id, g.visitor.id)
    return Response(status=204) if conversation is None else jsonify(title=conversation.title)


@bp.get("/chat/<conversation_id>/news")
def news(conversation_id: str) -> BaseResponse:
    """
    Show the conversation anew where it does not end with the message that the page has `seen` last.

    Also where a reply is being written: the page that asks shows none, and shall be able to stop it.
    """
    conversation = current_store().find_conversation(conversation_id, g.visitor.id)
    if conversation is None or conversation.leaf_id is None:
        return Response(status=204)
    is_running = bool(current_replies().running_in(conversation_id, g.visitor.id))
    if conversation.leaf_id == request.args.get("seen") and not is_running:
        return Response(status=204)
    return Response(show(conversation_id))


def branch_of_reader(conversation_id: str, last_id: str) -> tuple[list[Message], bool]:
    """
    Give what the reader has before the eyes, to the message `last_id`, and whether the chat has gone on after that.

    Another window may have done so, or may show another branch: a question belongs where its author wrote it.
    """
    conversation = current_store().find_conversation(conversation_id, g.visitor.id)
    if conversation is None:
        return [], False
    tree = current_store().tree(conversation_id, g.visitor.id)
    if tree.find(last_id) is None:
        return tree.whole_branch(conversation.leaf_id), False
    branch = tree.whole_branch(last_id)
    return branch, tree.newest_leaf(branch[-1].id) != branch[-1].id


def ask(turn: Turn, model: str = "", rival: str = "") -> Reply:
    """
    Have a model reply to the visitor; raise HTTPError where it cannot, or this visitor may not.

    Without the name of one, or where that is not served any more, it is the one that the conversation has.
    """
    state = current_engine_state()
    if state.state not in SERVING:
        raise not_ready(state)
    if state.model.embeds:
        raise does_not_write(state.model)
    choice = offered_models(turn.question.conversation_id)
    for message, wanted in zip(turn.replies, (model, rival), strict=False):
        message.model = choice.take(wanted or message.model or "").chosen
        require_allowed_model(g.visitor, message.model)
    require_room(turn)
    return current_replies().start(turn, g.visitor, *_places(len(turn.replies)))


def _places(count: int) -> list[Place]:
    """The owner's own page never waits for scripts; a guest's counts as a request of the guest's key."""
    places: list[Place] = []
    try:
        while len(places) < count and not g.visitor.is_owner:
            places.append(current_gate().admission.admit(g.visitor, address_of(request)))
    except HTTPError:
        for place in places:
            place.release()
        raise
    return places


@bp.get("/chat/replies/<reply_id>/events")
def events(reply_id: str) -> Response:
    """Stream a reply from after the event that the page has seen last."""
    reply = current_replies().find(reply_id, g.visitor.id)
    message = reply.message if reply is not None else current_store().find_message(reply_id, g.visitor.id)
    if message is None:
        raise HTTPError(404, "There is no such reply in this session.", code="not_found")
    seen = request.headers.get("Last-Event-ID") or request.args.get("after", "0")
    number = int(seen) if seen.isdecimal() else 0
    stream = follow(reply, number) if reply is not None else iter([Event(number + 1, "done", None)])
    return event_response(stream, message)


@bp.post("/chat/replies/<reply_id>/stop")
def stop(reply_id: str) -> BaseResponse:
    """End a running reply and keep what came so far."""
    current_replies().stop(reply_id, g.visitor.id)
    if wants_part():
        return Response(status=204)
    message = current_store().find_message(reply_id, g.visitor.id)
    if message is None:
        return redirect(url_for("chat.index"), 303)
    return redirect(url_for("chat.show", conversation_id=message.conversation_id), 303)


@bp.post("/chat/<conversation_id>/stop")
def stop_all(conversation_id: str) -> BaseResponse:
    """End what is being written in a conversation, on whichever of its branches."""
    current_replies().stop_all(conversation_id, g.visitor.id)
    if wants_part():
        return Response(status=204)
    return redirect(url_for("chat.show", conversation_id=conversation_id), 303)


def refuse_deleted(conversation: Conversation) -> Response:
    """Say to who sends a message that its chat was deleted, perhaps in another tab, and offer to restore it."""
    if not wants_part():
        raise HTTPError(404, DELETED, code="not_found")
    values = {"deleted": conversation, "conversation_id": conversation.id, "refusal": DELETED}
    return make_response(render_template("chat/_deleted_notice.html", **values), 404)


def elsewhere(conversation_id: str, shown: list[Message]) -> dict[str, Snapshot]:
    """Look at the replies that are being written on other branches than the one that is shown."""
    ids = {message.id for message in shown}
    running = current_replies().running_in(conversation_id, g.visitor.id)
    return {reply.id: reply.snapshot() for reply in running if reply.id not in ids}


def page_values(conversation_id: str, messages: list[Message], deleted: Conversation | None = None) -> dict[str, Any]:
    return list_values(conversation_id, deleted=deleted, is_new=not messages) | {
        "messages": messages,
        "snapshots": snapshots(messages),
        "state": current_engine_state(),
    }


def snapshots(messages: list[Message]) -> dict[str, Any]:
    """Look at each running reply once, so that its text and its event number belong together."""
    running = (current_replies().find(message.id, g.visitor.id) for message in messages if message.state == "running")
    return {reply.id: reply.snapshot() for reply in running if reply is not None}


def require_message(form: dict[str, str]) -> str:
    """Take the text, or the example whose button was pressed; null characters have no place in either."""
    text = (form.get("example") or form.get("message") or "").replace("\0", "\N{REPLACEMENT CHARACTER}")
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise HTTPError(400, "The message is empty. Write something first.", code="empty_message")
    if len(text) > MESSAGE_LIMIT:
        limit = f"{MESSAGE_LIMIT:,} characters"
        raise HTTPError(413, f"The message has {len(text):,} characters; at most {limit} are taken.", code="too_long")
    return text


def follow(reply: Reply, number: int) -> Iterator[Event | None]:
    return reply.read(number, heartbeat_s=HEARTBEAT_S)


def event_response(events: Iterator[Event | None], message: Message, *, first: str = "") -> Response:
    """Stream events, after a `first` one that belongs to this answer alone."""
    stream = itertools.chain([first] if first else [], encode_events(events, message))
    response = Response(stream_with_context(stream), content_type=f"{EVENT_STREAM}; charset=utf-8")
    response.headers["X-Accel-Buffering"] = "no"
    return response


def html_of(message: Message) -> str:
    """Show a message that is not being written."""
    return render_template("chat/_message.html", message=message, snapshots={}, **around(message))


def title_url(conversation_id: str) -> str | None:
    """Name where the page gets the title that is being made."""
    if not current_replies().titles.is_coming(conversation_id):
        return None
    return url_for("chat.title", conversation_id=conversation_id)


def around(message: Message) -> dict[str, Any]:
    """Give what the template of a message asks of those around it."""
    tree = current_store().tree(message.conversation_id, g.visitor.id)
    conversation = current_store().find_conversation(message.conversation_id, g.visitor.id)
    siblings = tree.siblings_of([message])
    return {
        "siblings": siblings,
        "has_several_models": len(tree.models) > 1,
        "is_choice": bool(siblings) and conversation is not None and conversation.leaf_id == message.parent_id,
    }


def encode_events(events: Iterator[Event | None], message: Message) -> Iterator[str]:
    """Write server-sent events; the last one carries the finished message as the page would show it."""
    yield "retry: 1000\n\n"
    for event in events:
        if event is None:
            yield ": still here\n\n"
            continue
        data = in_order(event.data) if event.name in {"text", "reasoning"} else event.data
        if event.name == "facts":
            data = render_template("chat/_facts.html", facts=data)
        if event.name == "done":
            data = {
                "html": html_of(message),
                "state": message.state,
                "title_url": title_url(message.conversation_id),
                "notice": current_store().notice,
            }
        yield encode_event(event.name, data, number=event.number)


def encode_event(name: str, data: Any, *, number: int | None = None) -> str:
    """Write one event; its number is where a reader that was cut off begins again."""
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {name}\ndata: {json.dumps(data)}\n\n"

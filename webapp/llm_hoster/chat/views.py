"""The chat's pages, the sending of a message, and the stream of a reply."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, stream_with_context, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.chat.markdown import render_markdown
from llm_hoster.chat.message import Message, new_id
from llm_hoster.chat.reply import Event, Reply, Snapshot
from llm_hoster.current import current_engine_state, current_replies, current_store
from llm_hoster.engine.record.state import SERVING
from llm_hoster.errors import HTTPError
from llm_hoster.status.engine_notice import does_not_write, not_ready

bp = Blueprint("chat", __name__)
bp.add_app_template_filter(render_markdown, "markdown")

HEARTBEAT_S = 15.0  # Shorter than any proxy's time-out, and how a gone browser is noticed.
MESSAGE_LIMIT = 1_000_000
EVENT_STREAM = "text/event-stream"
EMPTY_SNAPSHOT = Snapshot(html="", tail="", reasoning="", number=0)


@bp.get("/")
def index() -> str:
    """Show an empty chat. Its id is made here, so that the first message needs one request only."""
    return render_template("chat/page.html", **page_values(new_id(), []))


@bp.get("/chat/<conversation_id>")
def show(conversation_id: str) -> str:
    """Show a conversation; a running reply goes on where the page was rendered."""
    conversation = current_store().find_conversation(conversation_id)
    if conversation is None:
        raise HTTPError(404, "There is no such conversation in this session.", code="not_found")
    messages = [as_it_is(message) for message in current_store().messages(conversation_id)]
    return render_template("chat/page.html", conversation=conversation, **page_values(conversation_id, messages))


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
    if len(conversation_id) != 32 or not conversation_id.isalnum():
        raise HTTPError(404, "There is no such conversation in this session.", code="not_found")
    state = current_engine_state()
    if state.state not in SERVING:
        raise not_ready(state)
    if state.model.embeds:
        raise does_not_write(state.model)
    question, reply = current_replies().start(conversation_id, text)
    page = url_for("chat.show", conversation_id=conversation_id)
    if request.accept_mimetypes.best != EVENT_STREAM:
        return redirect(page, 303)
    turn = {
        "html": render_template(
            "chat/_turn.html", messages=[question, reply.message], snapshots={reply.id: EMPTY_SNAPSHOT}
        ),
        "conversations": render_template(
            "chat/_conversation_list.html",
            conversations=current_store().conversations(),
            conversation_id=conversation_id,
        ),
        "url": page,
    }
    return event_response(follow(reply, 0), reply.message, first=encode_event("turn", turn))


@bp.get("/chat/replies/<reply_id>/events")
def events(reply_id: str) -> Response:
    """Stream a reply from after the event that the page has seen last."""
    reply = current_replies().find(reply_id)
    message = reply.message if reply is not None else current_store().find_message(reply_id)
    if message is None:
        raise HTTPError(404, "There is no such reply in this session.", code="not_found")
    seen = request.headers.get("Last-Event-ID") or request.args.get("after", "0")
    number = int(seen) if seen.isdecimal() else 0
    stream = follow(reply, number) if reply is not None else iter([Event(number + 1, "done", None)])
    return event_response(stream, message)


@bp.post("/chat/replies/<reply_id>/stop")
def stop(reply_id: str) -> BaseResponse:
    """End a running reply and keep what came so far."""
    current_replies().stop(reply_id)
    if request.headers.get("HX-Request") == "true":
        return Response(status=204)
    message = current_store().find_message(reply_id)
    if message is None:
        return redirect(url_for("chat.index"), 303)
    return redirect(url_for("chat.show", conversation_id=message.conversation_id), 303)


def page_values(conversation_id: str, messages: list[Message]) -> dict[str, Any]:
    return {
        "conversation_id": conversation_id,
        "messages": messages,
        "snapshots": snapshots(messages),
        "conversations": current_store().conversations(),
        "state": current_engine_state(),
    }


def as_it_is(message: Message) -> Message:
    """Take a message that was running when it was last written from memory, where it may have ended since."""
    reply = current_replies().find(message.id) if message.state == "running" else None
    return message if reply is None else reply.message


def snapshots(messages: list[Message]) -> dict[str, Any]:
    """Look at each running reply once, so that its text and its event number belong together."""
    running = (current_replies().find(message.id) for message in messages if message.state == "running")
    return {reply.id: reply.snapshot() for reply in running if reply is not None}


def require_message(form: dict[str, str]) -> str:
    """Take the text, or the example whose button was pressed; null characters have no place in either."""
    text = (form.get("example") or form.get("message") or "").replace("\0", "\N{REPLACEMENT CHARACTER}").strip()
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


def encode_events(events: Iterator[Event | None], message: Message) -> Iterator[str]:
    """Write server-sent events; the last one carries the finished message as the page would show it."""
    yield "retry: 1000\n\n"
    for event in events:
        if event is None:
            yield ": still here\n\n"
            continue
        data = event.data
        if event.name == "done":
            data = {
                "html": render_template("chat/_message.html", message=message, snapshots={}),
                "state": message.state,
            }
        yield encode_event(event.name, data, number=event.number)


def encode_event(name: str, data: Any, *, number: int | None = None) -> str:
    """Write one event; its number is where a reader that was cut off begins again."""
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {name}\ndata: {json.dumps(data)}\n\n"

"""The meter of a chat's context, and what is done when it is full: to leave out, to summarise, to begin anew."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.chat.act import act, no_such_chat
from llm_hoster.chat.context import Turns, characters, left_out, room, turns_of, waits
from llm_hoster.chat.context_page import (
    TOO_LONG_ALONE,
    ChatContext,
    chat_context,
    count_messages,
    counted,
    current_counter,
    current_reader,
    current_summaries,
)
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.cut import Cut, Cuts, below
from llm_hoster.chat.engine_request import messages_for_engine
from llm_hoster.chat.message import Message, new_id, title_of
from llm_hoster.chat.summaries import Task
from llm_hoster.chat.summary import piece_characters, transcript
from llm_hoster.chat.tree import Tree
from llm_hoster.chat.turn import repeated_turn
from llm_hoster.chat.views import ask
from llm_hoster.current import current_engine_state, current_gate, current_store
from llm_hoster.engine.record.state import SERVING
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.key import address_of, require_allowed_model
from llm_hoster.status.engine_notice import not_ready

bp = Blueprint("context", __name__, url_prefix="/chat/<conversation_id>/context")

# What stays of the oldest turns, as shares of what the model can read. Half: it shall last for a while, since each cut
# has the engine read all anew. A quarter beside a summary, which tells the rest.
KEPT_SHARE, KEPT_BESIDE_SUMMARY_SHARE = 2, 4
TITLE = "Continued: {title}"


@bp.get("")
def show(conversation_id: str) -> str:
    """Show the meter, and what is to be said of it; the engine counts where that is needed."""
    context = counted(chat_context(conversation_id))
    return render_template("chat/_context.html", conversation_id=conversation_id, context=context, is_counted=True)


@bp.post("/leave-out")
def leave_out(conversation_id: str) -> BaseResponse:
    """Have the model no longer read the oldest turns, and answer the question that did not fit."""
    context = _require(conversation_id)
    limit = _require_limit()
    turns = turns_of(below(context.branch, context.cut))
    _require_turns(turns)
    _require_alone(context, turns, limit)
    after = _left_out(context, turns, limit, KEPT_SHARE)[-1].id
    _change_cuts(context, context.cuts.with_cut(Cut(after)))
    refused = waits(context.branch)
    if refused is not None:
        ask(repeated_turn(_tree(conversation_id), refused))
    return _shown(conversation_id)


@bp.post("/undo")
def undo(conversation_id: str) -> BaseResponse:
    """Have the model read again what is above a cut."""
    context = _require(conversation_id)
    _change_cuts(context, context.cuts.without(request.form.get("after", "")))
    return _shown(conversation_id)


@bp.post("/summary")
def summarise(conversation_id: str) -> BaseResponse:
    """Have the model summarise what came before; `new` begins another chat with it, and leaves this one alone."""
    context = _require(conversation_id)
    limit = _require_limit()
    is_new = request.form.get("new") == "1"
    turns = turns_of(below(context.branch, context.cut))
    if not (is_new and context.cut and context.cut.summary):
        _require_turns(turns)
    everything = [message for turn in turns.turns for message in turn]
    gone = everything if is_new else _left_out(context, turns, limit, KEPT_BESIDE_SUMMARY_SHARE)
    read = context.cuts.read_part(context.branch)
    last = next((place for place, message in enumerate(read) if gone and message.id == gone[-1].id), len(read) - 1)
    told = messages_for_engine(read[: last + 1], current_reader(context.branch))
    store, key_id = current_store(), g.visitor.id

    def keep(summary: str) -> str:
        if is_new:
            return _begin(store, conversation_id, key_id, summary)
        return _keep(store, conversation_id, key_id, Cut(gone[-1].id, summary))

    ratio = context.use.characters_per_token
    task = Task(conversation_id, transcript(told), piece_characters(limit, ratio), limit, keep)
    state = current_engine_state()
    require_allowed_model(g.visitor, state.model.name)
    place = None if g.visitor.is_owner else current_gate().admission.admit(g.visitor, address_of(request))
    current_summaries().start(task, g.visitor, place)
    return _shown(conversation_id)


@bp.get("/summary")
def progress(conversation_id: str) -> Response:
    """Show how far the summary is; at its end what the page does then."""
    context = _require(conversation_id)
    summary = context.summary
    if summary is None:
        return Response(render_template("chat/_context_notice.html", conversation_id=conversation_id, context=context))
    if summary.state == "done" and summary.kept_in != conversation_id:
        current_summaries().forget(summary)
        page = url_for("chat.show", conversation_id=summary.kept_in)
        return Response(status=204, headers={"HX-Redirect": page})
    refused = waits(context.branch) if summary.state == "done" else None
    html = render_template(
        "chat/_context_notice.html", conversation_id=conversation_id, context=context, is_poll=True, refused=refused
    )
    if not summary.is_running:
        current_summaries().forget(summary)
    return Response(html)


@bp.post("/summary/stop")
def stop(conversation_id: str) -> BaseResponse:
    """Give up the summary; the chat stays as it is."""
    summary = _require(conversation_id).summary
    if summary is not None:
        current_summaries().stop(summary)
        current_summaries().forget(summary)
    return _shown(conversation_id)


def _left_out(context: ChatContext, turns: Turns, limit: int, share: int) -> list[Message]:
    """Say what is left out so that the rest, with the question that waits or is in the box, has room."""
    budget = min(limit // share, room(limit, context.use.reply_tokens) - _tokens(context, _asked(turns)))
    content_of = current_reader(context.branch)
    return left_out(turns, budget, lambda messages: _tokens(context, messages_for_engine(messages, content_of)))


def _tokens(context: ChatContext, told: list[dict[str, Any]]) -> int:
    count = count_messages(context, told) if told else None
    return round(characters(told) / context.use.characters_per_token) if count is None else count.tokens


def _asked(turns: Turns) -> list[dict[str, Any]]:
    """Give the question that is to fit: the one that waits, or the one in the box."""
    told = messages_for_engine(turns.waiting_messages, current_reader(turns.waiting_messages))
    return told or [{"role": "user", "content": request.form.get("message", "")}]


def _require_alone(context: ChatContext, turns: Turns, limit: int) -> None:
    tokens = _tokens(context, _asked(turns))
    if tokens >= limit:
        message = TOO_LONG_ALONE.format(tokens=tokens, limit=limit)
        raise HTTPError(413, message, code="message_too_long")


def _require(conversation_id: str) -> ChatContext:
    context = chat_context(conversation_id)
    if context.conversation is None:
        raise no_such_chat()
    return context


def _require_limit() -> int:
    state = current_engine_state()
    if state.state not in SERVING:
        raise not_ready(state)
    limit = current_counter().limit(state)
    if limit is None:
        raise HTTPError(502, "The engine does not say how much it can read. Try again in a moment.", code="no_limit")
    return limit


def _require_turns(turns: Turns) -> None:
    if not turns.turns:
        message = "There is nothing before this message that could be left out. Send a shorter one."
        raise HTTPError(409, message, code="nothing_to_leave_out")


def _change_cuts(context: ChatContext, cuts: Cuts) -> None:
    assert context.conversation is not None  # noqa: S101 - `_require` has seen to it
    conversation = context.conversation
    settings = conversation.settings | cuts.to_json()
    act(lambda: current_store().change(conversation.id, g.visitor.id, {"settings": settings}))


def _keep(store: ConversationStore, conversation_id: str, key_id: str, cut: Cut) -> str:
    """The settings are read anew: the summary took a while."""
    conversation = store.find_conversation(conversation_id, key_id)
    if conversation is None:
        raise LookupError(conversation_id)
    cuts = Cuts.from_json(conversation.settings).with_cut(cut)
    store.change(conversation_id, key_id, {"settings": conversation.settings | cuts.to_json()})
    return conversation_id


def _begin(store: ConversationStore, former_id: str, key_id: str, summary: str) -> str:
    """The new chat has the former one's settings, and not its cuts."""
    former = store.find_conversation(former_id, key_id)
    if former is None:
        raise LookupError(former_id)
    cuts: dict[str, Any] = Cuts().with_cut(Cut("", summary, former_id)).to_json()
    new = new_id()
    store.save_settings(new, key_id, former.settings | cuts, title_of(TITLE.format(title=former.title)))
    return new


def _tree(conversation_id: str) -> Tree:
    return current_store().tree(conversation_id, g.visitor.id)


def _shown(conversation_id: str) -> BaseResponse:
    """Lead to the page; htmx takes out of it what has changed."""
    return redirect(url_for("chat.show", conversation_id=conversation_id), 303)

"""A conversation shown to the other people of this session: to read, and nothing else."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Flask, current_app, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from llm_hoster.access.origin import is_secure, require_public_host
from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.chat.act import act
from llm_hoster.chat.message import Conversation
from llm_hoster.chat.shares import FILE_NAME, Share, Shares
from llm_hoster.chat.side_list import require_conversation
from llm_hoster.chat.window import window_of
from llm_hoster.current import current_gate, current_replies, current_store
from llm_hoster.errors import HTTPError
from llm_hoster.htmx import wants_part
from llm_hoster.settings import WebSettings

bp = Blueprint("sharing", __name__)

EXTENSION = "llm_hoster_shares"


def init_app(app: Flask, settings: WebSettings) -> None:
    app.extensions[EXTENSION] = Shares(settings.runtime_dir / FILE_NAME)
    app.register_blueprint(bp)
    app.context_processor(lambda: {"share_of": share_of, "share_address": share_address, "shown_leaf": shown_leaf})


@bp.get("/chat/shared/<token>")
def show(token: str) -> str:
    """Show the branch that ends with the message up to which it was shared. What anybody sees here is not their own."""
    share, sharer, conversation = _require_share(token)
    tree = current_store().tree(conversation.id, sharer.id)
    if tree.find(share.leaf_id) is None:
        raise _not_shared()
    branch = tree.branch(share.leaf_id)
    window = window_of(branch, at=request.args.get("at", ""))
    return render_template(
        "chat/shared.html",
        share=share,
        sharer=sharer,
        conversation=conversation,
        messages=[current_replies().as_it_is(message, sharer.id) for message in window.messages],
        earlier_id=window.earlier_id,
    )


@bp.post("/chats/<conversation_id>/share")
def share(conversation_id: str) -> Response | str:
    """Share the branch that is shown, up to its present end: for the first time, or with what came since."""
    conversation = require_conversation(conversation_id)
    leaf_id = shown_leaf(conversation)
    if leaf_id is None:
        raise HTTPError(409, "This chat has no message yet.", code="empty_chat")
    act(lambda: _shares().put(conversation.id, leaf_id, g.visitor.id))
    return _answer(conversation)


@bp.post("/chats/<conversation_id>/unshare")
def unshare(conversation_id: str) -> Response | str:
    """Take the link back."""
    conversation = require_conversation(conversation_id)
    act(lambda: _shares().remove(conversation.id, g.visitor.id))
    return _answer(conversation)


def share_of(conversation: Conversation) -> Share | None:
    return _shares().of(conversation.id, g.visitor.id)


def shown_leaf(conversation: Conversation) -> str | None:
    """Name the end of the branch that the visitor sees."""
    branch = current_store().messages(conversation.id, g.visitor.id)
    return branch[-1].id if branch else None


def share_address(share: Share) -> str:
    """Give the whole address, as the browser that asks for it sees this session."""
    scheme = "https" if is_secure(request) else "http"
    return f"{scheme}://{require_public_host(request)}{url_for('sharing.show', token=share.token)}"


def _require_share(token: str) -> tuple[Share, ApiKey, Conversation]:
    """A link ends with the conversation that it shows, and with the key of whoever has shared it."""
    share = _shares().find(token)
    sharer = None if share is None else current_gate().ring.find_id(share.key_id)
    if share is None or sharer is None:
        raise _not_shared()
    conversation = current_store().find_conversation(share.conversation_id, sharer.id)
    if conversation is None:
        raise _not_shared()
    return share, sharer, conversation


def _answer(conversation: Conversation) -> Response | str:
    """Give the part of the panel to htmx, and lead a plain form back to the panel."""
    if wants_part():
        return render_template("chat/_share.html", conversation=conversation, is_changed=True)
    return redirect(url_for("chats.manage", conversation_id=conversation.id), 303)


def _shares() -> Shares:
    return cast(Shares, current_app.extensions[EXTENSION])


def _not_shared() -> HTTPError:
    return HTTPError(404, "This link opens no chat, or its chat is not shared any more.", code="not_found")

"""A question with its files as the engine reads it: whole files, or passages of those that are too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_hoster.attachments.message_content import message_content
from llm_hoster.chat.attached_files import store_of
from llm_hoster.chat.documents import LEFT_OUT, PASSAGES_MAX_TOKENS, PASSAGES_SHARE, Documents, documents_of, long_files
from llm_hoster.chat.engine_facts import sees_pictures
from llm_hoster.chat.engine_request import ContentOf
from llm_hoster.chat.message import Message
from llm_hoster.chat.tokenization import context_limit
from llm_hoster.chat.turn import Turn
from llm_hoster.engine.record.state import State
from llm_hoster.settings import WebSettings

CHARACTERS_PER_TOKEN = 4


def documents_for(settings: WebSettings, state: State, visitor_id: str, turn: Turn) -> Documents | None:
    """Find the passages for a turn; raise AttachmentError where a file of its question is lost."""
    if not any(message.attachments for message in (*turn.earlier, turn.question)):
        return None
    return documents_of(turn, store_of(settings, visitor_id), context_limit(settings, state))


def content_reader(
    settings: WebSettings, state: State, visitor_id: str, turn: Turn, documents: Documents | None
) -> ContentOf:
    """Give what gives a message's content. Of all but the turn's own question, files that are lost are only named."""
    store = store_of(settings, visitor_id)

    def content_of(message: Message) -> Any:
        text, attachments = message.content, message.attachments
        if documents is not None:
            text = documents.text if message is turn.question else documents.names(message) + text
            attachments = documents.whole_files(message)
        if not attachments:
            return text
        has_picture = any(each.kind == "picture" for each in attachments)
        takes_pictures = has_picture and sees_pictures(settings, state)
        is_past = message is not turn.question
        return message_content(text, attachments, store, takes_pictures=takes_pictures, is_past=is_past)

    return content_of


def branch_reader(settings: WebSettings, state: State, visitor_id: str, branch: Sequence[Message]) -> ContentOf:
    """Give the same for a branch that is counted and not asked about: no passages are looked for."""
    limit = context_limit(settings, state) if any(message.attachments for message in branch) else None
    long = _long_ids(branch, limit)
    nothing = Message("", "user")
    turn = Turn(list(branch), nothing, Message("", "assistant"))
    return content_reader(settings, state, visitor_id, turn, Documents(long, "", []) if long else None)


def sized_reader(branch: Sequence[Message], limit: int | None) -> ContentOf:
    """Give what gives something as long as `content_reader` would, without reading a file: enough to guess tokens."""
    long_ids = _long_ids(branch, limit)
    passages = min(limit // PASSAGES_SHARE, PASSAGES_MAX_TOKENS) * CHARACTERS_PER_TOKEN if limit and long_ids else 0

    def content_of(message: Message) -> Any:
        pictures = [{"type": "image_url"} for each in message.attachments if each.kind == "picture"]
        sizes = [len(LEFT_OUT) if each.id in long_ids else each.characters for each in message.attachments]
        if branch and message is branch[-1]:
            sizes.append(passages)
        text = message.content + " " * sum(sizes)
        return [*pictures, {"type": "text", "text": text}] if pictures else text

    return content_of


def _long_ids(branch: Sequence[Message], limit: int | None) -> frozenset[str]:
    files = [file for message in branch for file in message.attachments]
    return frozenset(each.id for each in long_files(files, limit)) if limit else frozenset()

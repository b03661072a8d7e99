"""
Our own file: one JSON document, each conversation on a line of its own, so that it is written and read line by line.

docs/conversations.md describes it. What a later version cannot say in these words gets a new VERSION.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import datetime, timezone
from typing import Any

from llm_hoster.attachments.attachment import attachments_from_json
from llm_hoster.attachments.bounds import FILES_MAX
from llm_hoster.attachments.passages import passages_from_json
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.exchange.arrival import Arrival, NotAConversationError
from llm_hoster.chat.exchange.hostile_value import (
    dict_of,
    id_of,
    list_of,
    number_of,
    text_of,
    time_of,
    whole_of,
)
from llm_hoster.chat.exchange.remark import Remark
from llm_hoster.chat.listing import IS_BEGUN
from llm_hoster.chat.message import Conversation, Message, title_of
from llm_hoster.chat.row import CONVERSATIONS, MESSAGES, conversation_from_row, message_from_row

FORMAT = "llm-hoster-conversations"
VERSION = 1
# Whose it is says the login; what is deleted is not exported.
NOT_TOLD = {"key_id", "deleted_at"}
SETTINGS_MAX = 2_000_000
SOURCES_MAX = 100
FOLDER_MAX = 60
TOLD = [field.name for field in fields(Conversation) if field.name not in NOT_TOLD]
# In an order that does not depend on when they came into the history.
OF_CONVERSATION = f"SELECT {MESSAGES}, changed_at FROM messages WHERE conversation_id = ? ORDER BY created_at, id"  # noqa: S608
ALL = (
    f"SELECT {CONVERSATIONS} FROM conversations WHERE key_id = ? AND deleted_at IS NULL AND {IS_BEGUN} "  # noqa: S608
    "AND id > ? ORDER BY id LIMIT 100"
)
CHANGE = "SELECT changed_at FROM conversations WHERE id = ?"


def all_conversations(store: ConversationStore, key_id: str) -> Iterator[Conversation]:
    """Give somebody's, in an order that no use of them changes meanwhile."""
    last = ""
    while True:
        with store.file.lock:
            rows = store.file.connection.execute(ALL, (key_id, last)).fetchall()
        for row in rows:
            yield conversation_from_row(row)
        if not rows:
            return
        last = rows[-1]["id"]


def document(store: ConversationStore, conversations: Iterator[Conversation]) -> Iterator[str]:
    """Write conversations, one in memory at a time."""
    head = {"format": FORMAT, "version": VERSION, "exported_at": datetime.now(timezone.utc).isoformat()}
    yield json.dumps(head)[:-1] + ', "conversations": ['
    separator = "\n"
    for conversation in conversations:
        yield separator + json.dumps(_told(store, conversation), ensure_ascii=False)
        separator = ",\n"
    yield "\n]}\n"


def _told(store: ConversationStore, conversation: Conversation) -> dict[str, Any]:
    with store.file.lock:
        rows = store.file.connection.execute(OF_CONVERSATION, (conversation.id,)).fetchall()
        (changed_at,) = store.file.connection.execute(CHANGE, (conversation.id,)).fetchone()
    messages = [_message(store, conversation, row) for row in rows]
    values = asdict(conversation)
    return {name: values[name] for name in TOLD} | {"changed_at": changed_at, "messages": messages}


def _message(store: ConversationStore, conversation: Conversation, row: sqlite3.Row) -> dict[str, Any]:
    """What a reply that is being written has so far is told as if it had been stopped."""
    message = message_from_row(row)
    is_running = message.state == "running"
    if is_running:
        message = store.find_message(message.id, conversation.key_id) or message
    values = asdict(message) | {"changed_at": row["changed_at"]} | ({"state": "stopped"} if is_running else {})
    values["attachments"] = [attachment.to_json() for attachment in message.attachments]
    values["sources"] = [source.to_json() for source in message.sources]
    del values["conversation_id"]
    return values


def read(entry: dict[str, Any]) -> Arrival:
    """Raise NotAConversationError where nothing of it can be taken."""
    conversation_id = id_of(entry.get("id"))
    if conversation_id is None:
        raise NotAConversationError(Remark.UNKNOWN)
    now, remarks = time.time(), Counter[Remark]()
    created_at = time_of(entry.get("created_at"), now)
    updated_at = time_of(entry.get("updated_at"), created_at)
    messages: dict[str, Message] = {}
    changes: dict[str, float] = {}
    for each in list_of(entry.get("messages")):
        message = _read_message(dict_of(each), conversation_id, created_at)
        if message is None or message.id in messages:
            remarks[Remark.DAMAGED] += 1
            continue
        messages[message.id] = message
        changes[message.id] = time_of(each.get("changed_at"), message.created_at)
    settings = dict_of(entry.get("settings"))
    if len(json.dumps(settings)) > SETTINGS_MAX:
        settings = {}
        remarks[Remark.SETTINGS] += 1
    conversation = Conversation(
        id=conversation_id,
        title=title_of(text_of(entry.get("title"))),
        created_at=created_at,
        updated_at=updated_at,
        key_id="",
        leaf_id=id_of(entry.get("leaf_id")),
        pinned=entry.get("pinned") is True,
        folder=" ".join(text_of(entry.get("folder")).split())[:FOLDER_MAX],
        settings=settings,
    )
    changed_at = time_of(entry.get("changed_at"), updated_at)
    return Arrival("ours", conversation, messages, changed_at, changes, remarks)


def _read_message(value: dict[str, Any], conversation_id: str, created_at: float) -> Message | None:
    message_id, role, state = id_of(value.get("id")), value.get("role"), value.get("state", "done")
    if message_id is None or role not in ("user", "assistant"):
        return None
    rating = value.get("rating")
    return Message(
        conversation_id=conversation_id,
        role=role,
        content=text_of(value.get("content")),
        id=message_id,
        parent_id=id_of(value.get("parent_id")),
        reasoning=text_of(value.get("reasoning")),
        tool_calls=[each for each in list_of(value.get("tool_calls")) if isinstance(each, dict)],
        state=state if state in ("done", "stopped", "failed") else "stopped",
        failure=text_of(value.get("failure")) or None,
        finish_reason=text_of(value.get("finish_reason")) or None,
        model=text_of(value.get("model")) or None,
        prompt_tokens=whole_of(value.get("prompt_tokens")),
        completion_tokens=whole_of(value.get("completion_tokens")),
        first_token_s=number_of(value.get("first_token_s")),
        reasoning_s=number_of(value.get("reasoning_s")),
        total_s=number_of(value.get("total_s")),
        created_at=time_of(value.get("created_at"), created_at),
        rating=rating if isinstance(rating, int) and rating in (-1, 0, 1) else 0,
        attachments=attachments_from_json(list_of(value.get("attachments"))[:FILES_MAX]),
        sources=passages_from_json(list_of(value.get("sources"))[:SOURCES_MAX]),
    )

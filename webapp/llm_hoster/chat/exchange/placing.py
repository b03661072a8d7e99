"""An arrival put into the history, by the rules by which the histories of several jobs are merged."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import Enum, auto
from typing import Any

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.cut import Cuts
from llm_hoster.chat.exchange.arrival import Arrival
from llm_hoster.chat.exchange.hostile_value import OWN_ID
from llm_hoster.chat.merge_rows import CONVERSATION_COLUMNS, MESSAGE_COLUMNS
from llm_hoster.chat.message import Conversation, Message
from llm_hoster.chat.row import row_from_message


class Placed(Enum):
    ADDED = auto()
    CHANGED = auto()
    KNOWN = auto()
    DELETED = auto()


def _statement(table: str, columns: list[str], fixed: set[str], condition: str) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in fixed)
    return (
        f"INSERT INTO {table} AS mine ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)}) "  # noqa: S608
        f"ON CONFLICT (id) DO UPDATE SET {changes} WHERE excluded.changed_at > mine.changed_at AND {condition}"
    )


ADD_CONVERSATION = _statement("conversations", CONVERSATION_COLUMNS, {"id", "key_id"}, "excluded.key_id = mine.key_id")
ADD_MESSAGE = _statement("messages", MESSAGE_COLUMNS, {"id"}, "excluded.conversation_id = mine.conversation_id")
ELSEWHERE = "SELECT id FROM messages WHERE id IN (SELECT value FROM json_each(?)) AND conversation_id <> ?"


def place(store: ConversationStore, arrival: Arrival, visitor: ApiKey) -> tuple[Placed, str]:
    """Write it in one transaction; give what came of it, and its id here."""
    with store.file.transaction() as database:
        conversation_id, row = _find_place(database, arrival, visitor)
        if row is not None and row["deleted_at"] is not None:
            return Placed.DELETED, conversation_id
        ids = _message_ids(database, arrival, conversation_id)
        conversation = replace(
            arrival.conversation,
            id=conversation_id,
            key_id=visitor.id,
            leaf_id=ids.get(arrival.conversation.leaf_id or ""),
            settings=_settings_of(arrival.conversation, ids),
        )
        changed = database.execute(ADD_CONVERSATION, _row(conversation, arrival.changed_at)).rowcount
        messages = [
            row_from_message(
                replace(
                    message,
                    id=ids[message.id],
                    conversation_id=conversation_id,
                    parent_id=_parent_of(message, ids),
                ),
                arrival.messages_changed_at.get(message.id, message.created_at),
            )
            for message in arrival.messages.values()
        ]
        changed += database.executemany(ADD_MESSAGE, messages).rowcount
    if row is None:
        return Placed.ADDED, conversation_id
    return Placed.CHANGED if changed else Placed.KNOWN, conversation_id


def _find_place(database: sqlite3.Connection, arrival: Arrival, visitor: ApiKey) -> tuple[str, sqlite3.Row | None]:
    """
    Give the id here, and the row that has it.

    The owner's own ids stay. For guests ids are made from theirs: a conversation of the owner, of which a guest has a
    file, may still come from another job, and must not meet the guest's under one id. Nor is an id taken that is
    somebody else's here, or of what was deleted for good. Ids are made from what the file has and from whose it is: the
    same file brings nothing twice.
    """
    theirs = arrival.conversation.id
    conversation_id = (
        theirs if arrival.source == "ours" and OWN_ID.fullmatch(theirs) else made_id(arrival.source, theirs)
    )
    row = _row_of(database, conversation_id)
    if not visitor.is_owner and row is None:
        conversation_id = made_id(conversation_id, visitor.id)
        row = _row_of(database, conversation_id)
    while row is not None and (row["key_id"] != visitor.id or row["erased_at"] is not None):
        conversation_id = made_id(conversation_id, visitor.id)
        row = _row_of(database, conversation_id)
    return conversation_id, row


def _row_of(database: sqlite3.Connection, conversation_id: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = database.execute(
        "SELECT key_id, deleted_at, erased_at FROM conversations WHERE id = ?", (conversation_id,)
    ).fetchone()
    return found


def _message_ids(database: sqlite3.Connection, arrival: Arrival, conversation_id: str) -> dict[str, str]:
    """Say under which id each message is kept: a message has one conversation."""
    ids = {
        each: each
        if conversation_id == arrival.conversation.id and OWN_ID.fullmatch(each)
        else made_id(conversation_id, each)
        for each in arrival.messages
    }
    taken = {row[0] for row in database.execute(ELSEWHERE, (json.dumps(list(ids.values())), conversation_id))}
    return {each: made_id(conversation_id, new) if new in taken else new for each, new in ids.items()}


def _settings_of(conversation: Conversation, ids: Mapping[str, str]) -> dict[str, Any]:
    cuts = Cuts.from_json(conversation.settings)
    return conversation.settings | (cuts.renamed(ids).to_json() if cuts.cuts else {})


def _parent_of(message: Message, ids: dict[str, str]) -> str | None:
    """One that is not in the file may be in the history."""
    parent_id = message.parent_id or ""
    return ids.get(parent_id) or (parent_id if OWN_ID.fullmatch(parent_id) else None)


def made_id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _row(conversation: Conversation, changed_at: float) -> dict[str, object]:
    return asdict(conversation) | {
        "settings": json.dumps(conversation.settings),
        "erased_at": None,
        "changed_at": changed_at,
    }

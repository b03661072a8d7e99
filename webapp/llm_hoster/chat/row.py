"""Conversations and messages as rows of the history file."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, fields
from typing import Any

from llm_hoster.attachments.attachment import attachments_from_json
from llm_hoster.attachments.passages import passages_from_json
from llm_hoster.chat.message import Conversation, Message

CONVERSATION_NAMES = [field.name for field in fields(Conversation)]
MESSAGE_NAMES = [field.name for field in fields(Message)]
CONVERSATIONS = ", ".join(CONVERSATION_NAMES)
MESSAGES = ", ".join(f"messages.{name}" for name in MESSAGE_NAMES)

INSERT_MESSAGE = (
    f"INSERT INTO messages ({', '.join(MESSAGE_NAMES)}, changed_at) "  # noqa: S608
    f"VALUES ({', '.join(f':{name}' for name in MESSAGE_NAMES)}, :changed_at)"
)
# A rating is the reader's, who may be quicker than the end of the reply.
UPDATE_MESSAGE = (
    f"UPDATE messages SET {', '.join(f'{name} = :{name}' for name in MESSAGE_NAMES if name != 'rating')}, "  # noqa: S608
    "changed_at = :changed_at WHERE id = :id"
)


def row_from_message(message: Message, changed_at: float) -> dict[str, Any]:
    values = asdict(message) | {"tool_calls": message.tool_calls_json, "attachments": message.attachments_json}
    return values | {"sources": message.sources_json, "changed_at": changed_at}


def message_from_row(row: sqlite3.Row) -> Message:
    values = {name: row[name] for name in MESSAGE_NAMES}
    values["tool_calls"] = json.loads(values["tool_calls"])
    values["attachments"] = attachments_from_json(json.loads(values["attachments"]))
    values["sources"] = passages_from_json(json.loads(values["sources"]))
    return Message(**values)


def conversation_from_row(row: sqlite3.Row) -> Conversation:
    values = {name: row[name] for name in CONVERSATION_NAMES}
    return Conversation(**values | {"pinned": bool(values["pinned"]), "settings": json.loads(values["settings"])})

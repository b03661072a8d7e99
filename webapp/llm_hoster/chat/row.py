"""A message as a row of the history file."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, fields
from typing import Any

from llm_hoster.chat.message import Message

MESSAGE_COLUMNS = """
    id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL REFERENCES conversations (id), role TEXT NOT NULL,
    content TEXT NOT NULL, reasoning TEXT NOT NULL, tool_calls TEXT NOT NULL, state TEXT NOT NULL, failure TEXT,
    finish_reason TEXT, model TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, first_token_s REAL,
    reasoning_s REAL, total_s REAL, created_at REAL NOT NULL"""

NAMES = [field.name for field in fields(Message)]
INSERT_MESSAGE = (
    f"INSERT INTO messages ({', '.join(NAMES)}, position) VALUES ({', '.join(f':{name}' for name in NAMES)},"  # noqa: S608
    " (SELECT coalesce(max(position), 0) + 1 FROM messages WHERE conversation_id = :conversation_id))"
)
UPDATE_MESSAGE = f"UPDATE messages SET {', '.join(f'{name} = :{name}' for name in NAMES)} WHERE id = :id"  # noqa: S608


def row_from_message(message: Message) -> dict[str, Any]:
    return asdict(message) | {"tool_calls": message.tool_calls_json}


def message_from_row(row: sqlite3.Row) -> Message:
    values = {name: row[name] for name in row.keys() if name != "position"}  # noqa: SIM118 - a Row iterates over values
    return Message(**values | {"tool_calls": json.loads(values["tool_calls"])})

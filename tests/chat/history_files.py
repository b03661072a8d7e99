"""History files as versions before wrote them, and turns to fill histories with."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message
from llm_hoster.job_database import journal_of

OLD_COLUMNS = """
    id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL REFERENCES conversations (id), role TEXT NOT NULL,
    content TEXT NOT NULL, reasoning TEXT NOT NULL, tool_calls TEXT NOT NULL, state TEXT NOT NULL, failure TEXT,
    finish_reason TEXT, model TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, first_token_s REAL,
    reasoning_s REAL, total_s REAL, created_at REAL NOT NULL"""
OLD_SCHEMA = """
CREATE TABLE conversations (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL{key_id}
) WITHOUT ROWID;
CREATE TABLE messages ({columns}, position INTEGER NOT NULL);
CREATE INDEX messages_of_conversation ON messages (conversation_id, position);
PRAGMA user_version = {version};
"""


def write_old_file(path: Path, version: int, chat: str = "c", *, state: str = "done") -> None:
    """Write one conversation of two turns; the last reply is in `state`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(old_schema(version))
        values = (chat, "Hello", 1.0, 4.0, *(["key-1"] if version == 2 else []))
        database.execute(f"INSERT INTO conversations VALUES ({', '.join('?' * len(values))})", values)
        for position, (role, content) in enumerate(
            [("user", "Hello"), ("assistant", "Hi"), ("user", "More"), ("assistant", "Half")], start=1
        ):
            last = state if content == "Half" else "done"
            database.execute(
                f"INSERT INTO messages VALUES ({', '.join('?' * 17)})",
                (f"{chat}{position}", chat, role, content, "", "[]", last, *[None] * 8, float(position), position),
            )
        database.commit()


def write_killed_old_file(path: Path) -> None:
    """Leave it as a process that was killed in a write, half of which was in the file: its journal is hot."""
    whole = path.with_name("whole")
    write_old_file(whole, 2)
    with contextlib.closing(sqlite3.connect(whole, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA cache_size = 1")  # Pages go to the file before the end of the transaction.
        database.execute("BEGIN")
        database.execute("UPDATE messages SET content = content || ' changed'")
        database.executemany(
            "INSERT INTO messages SELECT ? || id, conversation_id, role, zeroblob(9000), '', '[]', 'done', NULL, NULL, "
            "NULL, NULL, NULL, NULL, NULL, NULL, 9.0, position FROM messages WHERE id = 'c1'",
            [(str(number),) for number in range(20)],
        )
        for part in ("", "-journal"):
            shutil.copyfile(f"{whole}{part}", f"{path}{part}")
        database.execute("ROLLBACK")
    assert journal_of(path).stat().st_size > 0
    assert b" changed" in path.read_bytes()


def old_schema(version: int) -> str:
    key_id = ",\n    key_id TEXT NOT NULL" if version == 2 else ""
    return OLD_SCHEMA.format(key_id=key_id, columns=OLD_COLUMNS, version=version)


def write_history(path: Path, *chats: str, key_id: str = "owner", age_s: float = 0.0) -> None:
    """Write conversations of one turn as an ended session leaves them."""
    with contextlib.closing(ConversationStore(path)) as store:
        for chat in chats:
            add_chat(store, chat, key_id=key_id)
    grow_old(path, age_s)


def add_chat(
    store: ConversationStore, chat: str, question: str = "", answer: str = "An answer", key_id: str = "owner"
) -> Message:
    reply = Message(chat, "assistant", answer)
    store.add_turn(Message(chat, "user", question or f"About {chat}"), reply, key_id)
    return reply


def add_turns(store: ConversationStore, chat: str, count: int) -> None:
    parent_id = None
    for number in range(count):
        question = Message(chat, "user", f"Question {number}", parent_id=parent_id)
        reply = Message(chat, "assistant", f"Answer {number}")
        store.add_turn(question, reply, "owner")
        parent_id = reply.id


def grow_old(path: Path, age_s: float) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        os.utime(each, (time.time() - age_s,) * 2)

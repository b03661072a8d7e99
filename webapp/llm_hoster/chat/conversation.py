"""
The conversations of this job on disk: one SQLite file for each job, written by this process alone.

Network file systems have no dependable locks and no shared memory. So there is no WAL; every write is durable when it
returns. And SQLite takes no locks: Lustre without flock and NFS without lockd refuse them, and nothing could be written
at all. It needs none, since gunicorn has one worker and the file's name is that of the job's own session.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from llm_hoster.chat.message import Conversation, Message, title_of
from llm_hoster.chat.row import INSERT_MESSAGE, MESSAGE_COLUMNS, UPDATE_MESSAGE, message_from_row, row_from_message

SCHEMA_VERSION = 1
SCHEMA = f"""
CREATE TABLE conversations (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE messages ({MESSAGE_COLUMNS}, position INTEGER NOT NULL);
CREATE INDEX messages_of_conversation ON messages (conversation_id, position);
PRAGMA user_version = {SCHEMA_VERSION};
"""
CUT_OFF = "The session ended while this reply was being written."


class ConversationStore:
    """All methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it for its owner alone; replies that a killed process left running are failed."""
        self.path = path
        self._lock = threading.RLock()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        address = f"file:{quote(os.fsencode(path.absolute()))}?vfs=unix-none"
        self._database = sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = TRUNCATE")
        self._database.execute("PRAGMA synchronous = FULL")
        if self._database.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._database.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        with self._transaction() as database:
            database.execute("UPDATE messages SET state = 'failed', failure = ? WHERE state = 'running'", (CUT_OFF,))

    def find_conversation(self, conversation_id: str) -> Conversation | None:
        rows = self._select("SELECT * FROM conversations WHERE id = ?", conversation_id)
        return Conversation(**rows[0]) if rows else None

    def conversations(self) -> list[Conversation]:
        """List them, the last used first."""
        return [Conversation(**row) for row in self._select("SELECT * FROM conversations ORDER BY updated_at DESC")]

    def messages(self, conversation_id: str) -> list[Message]:
        rows = self._select("SELECT * FROM messages WHERE conversation_id = ? ORDER BY position", conversation_id)
        return [message_from_row(row) for row in rows]

    def find_message(self, message_id: str) -> Message | None:
        rows = self._select("SELECT * FROM messages WHERE id = ?", message_id)
        return message_from_row(rows[0]) if rows else None

    def add_turn(self, question: Message, reply: Message) -> None:
        """Write a question and its still empty reply, and begin the conversation if they are its first."""
        now = time.time()
        with self._transaction() as database:
            database.execute(
                "INSERT INTO conversations VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET updated_at = ?",
                (question.conversation_id, title_of(question.content), now, now, now),
            )
            for message in (question, reply):
                database.execute(INSERT_MESSAGE, row_from_message(message))

    def save_message(self, message: Message) -> None:
        """Write the message as it is when its turn has come: an older state never overwrites a newer."""
        with self._transaction() as database:
            database.execute(UPDATE_MESSAGE, row_from_message(message))

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _select(self, statement: str, *values: str) -> list[sqlite3.Row]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

"""The tables of a history file, and what is done with one when it is opened."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from llm_hoster.api_keys.api_key import OWNER
from llm_hoster.chat.shelf import TABLE as SHELF
from llm_hoster.chat.shown_text import ShownText, shown_paths
from llm_hoster.job_database import JobDatabase, journal_of, log_of
from llm_hoster.words import install_words

SCHEMA_VERSION = 4
CUT_OFF = "The session ended while this reply was being written."
# `changed_at` decides between two files that have the same row; `merged` are the files that were read into this one.
# The two tables of words keep no text: what they find is read from the rows. A reply is found when it has ended.
TABLES = """
CREATE TABLE conversations (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, created_at REAL NOT NULL,
    updated_at REAL NOT NULL, key_id TEXT NOT NULL, leaf_id TEXT, pinned INTEGER NOT NULL DEFAULT 0,
    folder TEXT NOT NULL DEFAULT '', settings TEXT NOT NULL DEFAULT '{}', deleted_at REAL, erased_at REAL,
    changed_at REAL NOT NULL
);
CREATE INDEX listed_conversations ON conversations (key_id, pinned, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX deleted_conversations ON conversations (key_id, deleted_at)
    WHERE deleted_at IS NOT NULL AND erased_at IS NULL;
CREATE INDEX filed_conversations ON conversations (key_id, folder) WHERE deleted_at IS NULL AND folder <> '';
CREATE TABLE messages (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, conversation_id TEXT NOT NULL, parent_id TEXT,
    role TEXT NOT NULL, content TEXT NOT NULL, reasoning TEXT NOT NULL, tool_calls TEXT NOT NULL, state TEXT NOT NULL,
    failure TEXT, finish_reason TEXT, model TEXT, prompt_tokens INTEGER, completion_tokens INTEGER,
    first_token_s REAL, reasoning_s REAL, total_s REAL, created_at REAL NOT NULL, rating INTEGER NOT NULL DEFAULT 0,
    changed_at REAL NOT NULL, attachments TEXT NOT NULL DEFAULT '[]', sources TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX messages_of_conversation ON messages (conversation_id, changed_at);
CREATE INDEX running_messages ON messages (state) WHERE state = 'running';
CREATE INDEX attached_messages ON messages (conversation_id) WHERE attachments <> '[]';
CREATE TABLE merged (name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL) WITHOUT ROWID;

CREATE VIRTUAL TABLE title_words USING fts5 (words, content = '', tokenize = 'unicode61 remove_diacritics 1');
CREATE TRIGGER conversation_added AFTER INSERT ON conversations BEGIN
    INSERT INTO title_words (rowid, words) VALUES (new.number, searchable(new.title));
END;
CREATE TRIGGER conversation_renamed AFTER UPDATE OF title ON conversations WHEN new.title <> old.title BEGIN
    INSERT INTO title_words (title_words, rowid, words) VALUES ('delete', old.number, searchable(old.title));
    INSERT INTO title_words (rowid, words) VALUES (new.number, searchable(new.title));
END;
CREATE VIRTUAL TABLE message_words USING fts5 (words, content = '', tokenize = 'unicode61 remove_diacritics 1');
CREATE TRIGGER message_added AFTER INSERT ON messages WHEN new.state <> 'running' BEGIN
    INSERT INTO message_words (rowid, words) VALUES (new.number, searchable(new.content));
END;
CREATE TRIGGER message_changed AFTER UPDATE OF content, state ON messages
    WHEN new.content <> old.content OR (new.state = 'running') <> (old.state = 'running') BEGIN
    INSERT INTO message_words (message_words, rowid, words)
        SELECT 'delete', old.number, searchable(old.content) WHERE old.state <> 'running';
    INSERT INTO message_words (rowid, words)
        SELECT new.number, searchable(new.content) WHERE new.state <> 'running';
END;
CREATE TRIGGER message_erased AFTER DELETE ON messages WHEN old.state <> 'running' BEGIN
    INSERT INTO message_words (message_words, rowid, words) VALUES ('delete', old.number, searchable(old.content));
END;
"""
# From version 1, in which all was the owner's.
OWNERS = f"ALTER TABLE conversations ADD COLUMN key_id TEXT NOT NULL DEFAULT '{OWNER}';"
# From version 2, in which each message stood after the one before it.
ASIDE = """
ALTER TABLE conversations RENAME TO old_conversations;
ALTER TABLE messages RENAME TO old_messages;
DROP INDEX messages_of_conversation;
"""
OLD_NAMES = """
    conversation_id, role, content, reasoning, tool_calls, state, failure, finish_reason, model, prompt_tokens,
    completion_tokens, first_token_s, reasoning_s, total_s, created_at"""
BACK = f"""
INSERT INTO conversations (id, title, created_at, updated_at, key_id, leaf_id, changed_at)
    SELECT id, title, created_at, updated_at, key_id,
        (SELECT id FROM old_messages WHERE conversation_id = old.id ORDER BY position DESC LIMIT 1), updated_at
    FROM old_conversations AS old;
INSERT INTO messages (id, parent_id, {OLD_NAMES}, changed_at)
    SELECT id, lag(id) OVER (PARTITION BY conversation_id ORDER BY position), {OLD_NAMES},
        created_at + coalesce(total_s, 0)
    FROM old_messages ORDER BY rowid;
DROP TABLE old_messages;
DROP TABLE old_conversations;
"""  # noqa: S608 - the names are ours
# From version 3, in which messages had no files.
FILES = """
ALTER TABLE messages ADD COLUMN attachments TEXT NOT NULL DEFAULT '[]';
ALTER TABLE messages ADD COLUMN sources TEXT NOT NULL DEFAULT '[]';
CREATE INDEX attached_messages ON messages (conversation_id) WHERE attachments <> '[]';
"""
DAMAGED = (
    "A file of your conversations was damaged. It is kept as {path}, and nothing was written over it; "
    "what other files have of them is shown here."
)


class NewerHistoryError(Exception):
    """The file is of a later version of the app."""


def open_history(path: Path, *, is_over: bool = True) -> JobDatabase:
    """
    Open a history, or begin one, in the form of today. Unless `is_over` is false, replies that a killed process left
    running get the rest of what was shown of them, and are failed.

    Raise sqlite3.DatabaseError itself, and none of its kinds, where the file is not whole.
    """
    file = JobDatabase(path, _prepare, check=require_whole)
    try:
        if is_over:
            end_running(file.connection, path)
    except BaseException:
        file.close()
        raise
    return file


def open_or_set_aside(path: Path) -> tuple[JobDatabase, str | None]:
    """Open a history; one that is not whole is kept under another name, and said so in a sentence."""
    try:
        return open_history(path), None
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    kept = set_aside(path)
    return open_history(path), DAMAGED.format(path=kept)


def is_damage(error: Exception) -> bool:
    """Tell a file that is not whole from a disk that is full or away."""
    return type(error) is sqlite3.DatabaseError


def set_aside(path: Path) -> Path:
    """Give a file, with all that lies beside it, a name under which nobody touches it."""
    kept = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}")
    for each in (*shown_paths(path), journal_of(path), log_of(path), path):
        with contextlib.suppress(FileNotFoundError):
            each.rename(kept.with_name(kept.name + each.name.removeprefix(path.name)))
    return kept


def require_whole(database: sqlite3.Connection) -> None:
    (finding,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise sqlite3.DatabaseError(finding)


def is_whole(database: sqlite3.Connection) -> bool:
    try:
        require_whole(database)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return False
    return True


def end_running(database: sqlite3.Connection, path: Path) -> None:
    shown = ShownText.read(path)
    rows = database.execute("SELECT id, content, reasoning FROM messages WHERE state = 'running'").fetchall()
    database.execute("BEGIN IMMEDIATE")
    for message_id, content, reasoning in rows:
        database.execute(
            "UPDATE messages SET content = ?, reasoning = ?, state = 'failed', failure = ? WHERE id = ?",
            (shown.complete(message_id, "text", content), shown.complete(message_id, "reasoning", reasoning),
             CUT_OFF, message_id),
        )  # fmt: skip
    database.execute("COMMIT")


def _prepare(database: sqlite3.Connection) -> None:
    database.row_factory = sqlite3.Row
    install_words(database)
    # What was deleted for good is written over.
    database.execute("PRAGMA secure_delete = ON")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise NewerHistoryError(f"version {version}")
    steps = {0: TABLES, 1: OWNERS + ASIDE + TABLES + BACK, 2: ASIDE + TABLES + BACK, 3: FILES}.get(version, "")
    try:
        # Written each time: a file that is open has a log beside it, by which others know that.
        database.executescript(f"BEGIN IMMEDIATE; {steps} {SHELF} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise

"""The rows of one history put into another, both open in one connection; whoever calls holds its lock."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Literal

from llm_hoster.chat.row import CONVERSATION_NAMES, MESSAGE_NAMES

Database = Literal["main", "other"]
CONVERSATION_COLUMNS = [*CONVERSATION_NAMES, "erased_at", "changed_at"]
MESSAGE_COLUMNS = [*MESSAGE_NAMES, "changed_at"]
SHELF_COLUMNS = "id, key_id, kind, title, body, deleted_at, changed_at"


# Two histories mostly have a common beginning. What is the same in both is told by its number and times.
CHANGED = """
    SELECT id FROM other.conversations AS theirs
    WHERE changed_at > coalesce((SELECT changed_at FROM main.conversations WHERE id = theirs.id), -1)
        OR (SELECT count(*) || ' ' || total(changed_at) FROM other.messages WHERE conversation_id = theirs.id)
        <> (SELECT count(*) || ' ' || total(changed_at) FROM main.messages WHERE conversation_id = theirs.id)
    ORDER BY number
"""


def changed_ids(database: sqlite3.Connection) -> list[str]:
    """Name the conversations of `other` of which `main` may lack something."""
    return [row[0] for row in database.execute(CHANGED)]


def merge_ids(
    database: sqlite3.Connection,
    conversation_ids: Sequence[str],
    *,
    source: Database,
    target: Database,
    are_running_ours: bool = False,
) -> None:
    """
    Put conversations with their messages from one into the other, in one transaction.

    Replies that are being written stay where they are, unless it is we who write them.
    """
    names = ", ".join(CONVERSATION_COLUMNS)
    changes = ", ".join(f"{name} = excluded.{name}" for name in CONVERSATION_COLUMNS if name not in {"id", "key_id"})
    message_names = ", ".join(MESSAGE_COLUMNS)
    message_changes = ", ".join(f"{name} = excluded.{name}" for name in MESSAGE_COLUMNS if name != "id")
    chosen = {"ids": json.dumps(conversation_ids)}
    database.execute("BEGIN IMMEDIATE")
    database.execute(
        f"INSERT INTO {target}.conversations AS mine ({names}) SELECT {names} FROM {source}.conversations "  # noqa: S608
        "WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY number "
        f"ON CONFLICT (id) DO UPDATE SET {changes} "
        "WHERE excluded.changed_at > mine.changed_at AND excluded.key_id = mine.key_id",
        chosen,
    )
    # Of what was deleted for good, here or there, nothing comes back.
    database.execute(
        f"DELETE FROM {target}.messages WHERE conversation_id IN (SELECT id FROM {target}.conversations "  # noqa: S608
        "WHERE erased_at IS NOT NULL AND id IN (SELECT value FROM json_each(:ids)))",
        chosen,
    )
    database.execute(
        f"INSERT INTO {target}.messages AS mine ({message_names}) SELECT {message_names} "  # noqa: S608
        f"FROM {source}.messages WHERE conversation_id IN (SELECT id FROM {target}.conversations "
        "WHERE erased_at IS NULL AND id IN (SELECT value FROM json_each(:ids))) "
        "AND (state <> 'running' OR :are_running_ours) ORDER BY number "
        f"ON CONFLICT (id) DO UPDATE SET {message_changes} "
        "WHERE excluded.changed_at > mine.changed_at AND excluded.conversation_id = mine.conversation_id",
        chosen | {"are_running_ours": are_running_ours},
    )
    database.execute("COMMIT")


def merge_shelf(database: sqlite3.Connection, *, source: Database, target: Database) -> None:
    """Put what people keep for later chats from one into the other; it is little."""
    database.execute(
        f"INSERT INTO {target}.shelf AS mine ({SHELF_COLUMNS}) "  # noqa: S608
        f"SELECT {SHELF_COLUMNS} FROM {source}.shelf WHERE true "
        "ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = excluded.body, "
        "deleted_at = excluded.deleted_at, changed_at = excluded.changed_at "
        "WHERE excluded.changed_at > mine.changed_at AND excluded.key_id = mine.key_id"
    )


def merge_rows(database: sqlite3.Connection) -> None:
    """Remember what is now in `main` by way of `other`: that file, and all that it had read itself."""
    database.execute("INSERT OR REPLACE INTO main.merged SELECT name, fingerprint FROM other.merged")


def merged_files(database: sqlite3.Connection) -> dict[str, str]:
    """Give the names of the files whose conversations are here, and how each was when it was read."""
    return {name: fingerprint for name, fingerprint in database.execute("SELECT name, fingerprint FROM merged")}


def add_merged(database: sqlite3.Connection, files: Mapping[str, str]) -> None:
    database.executemany("INSERT OR REPLACE INTO merged VALUES (?, ?)", files.items())

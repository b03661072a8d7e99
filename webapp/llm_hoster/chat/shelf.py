"""
What somebody keeps for later chats: presets, which are settings under a name, and prompts.

The rows lie in the history file of each job and are merged like conversations: ids are unique in the world, and of two
states of a row the later one stays.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llm_hoster.chat.message import new_id
from llm_hoster.job_database import JobDatabase

Kind = Literal["preset", "prompt"]
# Of each kind, of one person.
ITEMS_MAX = 500
FULL: dict[Kind, str] = {
    "preset": f"You keep {ITEMS_MAX} presets already. Delete one first.",
    "prompt": f"You keep {ITEMS_MAX} prompts already. Delete one first.",
}
TITLE_MAX = 60
# Made each time a history is opened: those of the same version that were begun before have it then, too.
TABLE = """
CREATE TABLE IF NOT EXISTS shelf (
    id TEXT PRIMARY KEY, key_id TEXT NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL,
    deleted_at REAL, changed_at REAL NOT NULL
) WITHOUT ROWID;
"""
OWN = "SELECT id, title, body FROM shelf WHERE key_id = ? AND kind = ?"
PUT = """
    INSERT INTO shelf (id, key_id, kind, title, body, changed_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = excluded.body, changed_at = excluded.changed_at
    WHERE key_id = excluded.key_id AND kind = excluded.kind AND deleted_at IS NULL
"""
FOR_NEW_CHATS = """
    SELECT preset.id, preset.title, preset.body FROM shelf AS mark JOIN shelf AS preset ON preset.id = mark.body
    WHERE mark.id = ? AND preset.key_id = ? AND preset.kind = 'preset' AND preset.deleted_at IS NULL
"""


class ShelfFullError(Exception):
    """Somebody keeps as much of a kind as there may be; the message says so to them."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(FULL[kind])


@dataclass(frozen=True)
class Item:
    """`body` is a preset's settings, or a prompt's `text`."""

    id: str
    title: str
    body: Mapping[str, Any]


class Shelf:
    """All methods may be called from any thread. They raise LookupError for what is not there or somebody else's."""

    def __init__(self, file: JobDatabase) -> None:
        self._file = file

    def items(self, kind: Kind, key_id: str) -> list[Item]:
        rows = self._select(f"{OWN} AND deleted_at IS NULL", key_id, kind)
        return sorted(map(_item_of, rows), key=lambda item: (item.title.casefold(), item.id))

    def find(self, kind: Kind, item_id: str, key_id: str, *, is_deleted: bool = False) -> Item:
        condition = "id = ? AND title <> '' AND deleted_at IS " + ("NOT NULL" if is_deleted else "NULL")
        rows = self._select(f"{OWN} AND {condition}", key_id, kind, item_id)
        if not rows:
            raise LookupError(item_id)
        return _item_of(rows[0])

    def put(self, kind: Kind, title: str, body: Mapping[str, Any], key_id: str, item_id: str = "") -> str:
        """Keep something, or what it is now, and give its id; raise ShelfFullError where there is too much."""
        with self._file.transaction() as database:
            count = "SELECT count(*) FROM shelf WHERE key_id = ? AND kind = ? AND deleted_at IS NULL"
            if not item_id and database.execute(count, (key_id, kind)).fetchone()[0] >= ITEMS_MAX:
                raise ShelfFullError(kind)
            if item_id and not database.execute("SELECT 1 FROM shelf WHERE id = ?", (item_id,)).fetchone():
                raise LookupError(item_id)
            values = (item_id or new_id(), key_id, kind, title, json.dumps(body), time.time())
            if database.execute(PUT, values).rowcount != 1:
                raise LookupError(item_id)
        return values[0]

    def delete(self, kind: Kind, item_id: str, key_id: str) -> None:
        """Take it away; it can be restored until it is erased."""
        self._set_deleted(kind, item_id, key_id, time.time(), "deleted_at IS NULL")

    def restore(self, kind: Kind, item_id: str, key_id: str) -> None:
        self._set_deleted(kind, item_id, key_id, None, "deleted_at IS NOT NULL AND title <> ''")

    def erase_old(self, before: float) -> None:
        """Erase what was deleted before then."""
        with self._file.transaction() as database:
            database.execute(
                "UPDATE shelf SET title = '', body = '{}', changed_at = ? WHERE deleted_at < ? AND title <> ''",
                (time.time(), before),
            )

    def for_new_chats(self, key_id: str) -> Item | None:
        """Give the preset with which somebody's chats begin."""
        rows = self._select(FOR_NEW_CHATS, _mark_id(key_id), key_id)
        return _item_of(rows[0]) if rows else None

    def mark_for_new_chats(self, preset_id: str | None, key_id: str) -> None:
        """Of two jobs that mark one each, the later one has its way: the mark is a row of its own."""
        if preset_id is not None:
            self.find("preset", preset_id, key_id)
        with self._file.transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO shelf (id, key_id, kind, title, body, changed_at) "
                "VALUES (?, ?, 'mark', '', ?, ?)",
                (_mark_id(key_id), key_id, preset_id or "", time.time()),
            )

    def _set_deleted(self, kind: Kind, item_id: str, key_id: str, at: float | None, condition: str) -> None:
        with self._file.transaction() as database:
            changed = database.execute(
                f"UPDATE shelf SET deleted_at = ?, changed_at = ? WHERE {condition} "  # noqa: S608
                "AND id = ? AND key_id = ? AND kind = ?",
                (at, time.time(), item_id, key_id, kind),
            )
            if changed.rowcount != 1:
                raise LookupError(item_id)

    def _select(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        with self._file.lock:
            return self._file.connection.execute(statement, values).fetchall()


def _mark_id(key_id: str) -> str:
    return f"for-new-chats-{key_id}"


def _item_of(row: sqlite3.Row) -> Item:
    return Item(row["id"], row["title"], json.loads(row["body"]))

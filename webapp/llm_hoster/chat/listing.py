"""Somebody's conversations in a list, page by page, and what is found in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from llm_hoster.chat.message import Conversation
from llm_hoster.chat.row import CONVERSATIONS, conversation_from_row
from llm_hoster.job_database import JobDatabase
from llm_hoster.words import expression_of, snippet_of

PAGE = 100
FOUND_MAX = 50
# Of a word that stands everywhere, the newest messages are looked at.
RANKED_MAX = 1000
# One that its settings have begun stands in no list before its first question.
IS_BEGUN = (
    "(leaf_id IS NOT NULL OR title <> '' OR EXISTS (SELECT 1 FROM messages WHERE conversation_id = conversations.id))"
)
OWN = f"SELECT {CONVERSATIONS} FROM conversations WHERE key_id = :key_id"  # noqa: S608
ORDER = "ORDER BY pinned DESC, updated_at DESC, id DESC LIMIT :limit"
IN_TITLES = f"""
    {OWN} AND deleted_at IS NULL AND number IN (SELECT rowid FROM title_words WHERE title_words MATCH :expression)
    ORDER BY updated_at DESC LIMIT :limit
"""  # noqa: S608
# The best message of each conversation: SQLite takes the other columns from the row with the smallest rank.
BEST = """
    SELECT conversation_id, id AS message_id, min(rank) FROM (
        SELECT messages.conversation_id, messages.id, bm25(message_words) AS rank
        FROM {tables}
        WHERE message_words MATCH :expression AND key_id = :key_id AND deleted_at IS NULL
        ORDER BY message_words.rowid DESC LIMIT :ranked
    ) GROUP BY conversation_id ORDER BY min(rank) LIMIT :limit
"""
# A cross join goes from left to right: from what has the words, or from what somebody has where that is little.
FROM_WORDS = BEST.format(
    tables="""message_words
        CROSS JOIN messages ON messages.number = message_words.rowid
        CROSS JOIN conversations ON conversations.id = messages.conversation_id"""
)
FROM_OWN = BEST.format(
    tables="""conversations
        CROSS JOIN messages ON messages.conversation_id = conversations.id
        CROSS JOIN message_words ON message_words.rowid = messages.number"""
)
HAS_MUCH = """
    SELECT 1 FROM conversations JOIN messages ON messages.conversation_id = conversations.id
    WHERE key_id = :key_id AND deleted_at IS NULL LIMIT 1 OFFSET :much
"""
MUCH = 2000


@dataclass(frozen=True)
class Found:
    """`message_id` is where in it; None for what stands in the title alone. `snippet` may be put into a page."""

    conversation: Conversation
    title: Markup
    snippet: Markup
    message_id: str | None = None


class Listing:
    """All methods may be called from any thread."""

    def __init__(self, file: JobDatabase) -> None:
        self._file = file

    def page(self, key_id: str, folder: str, after: Conversation | None, limit: int) -> list[Conversation]:
        statement = f"{OWN} AND deleted_at IS NULL AND {IS_BEGUN}"
        if folder:
            statement += " AND folder = :folder"
        values: dict[str, Any] = {"key_id": key_id, "folder": folder, "limit": limit}
        if after is not None:
            statement += " AND (pinned, updated_at, id) < (:pinned, :updated_at, :id)"
            values |= {"pinned": after.pinned, "updated_at": after.updated_at, "id": after.id}
        return [conversation_from_row(row) for row in self._select(f"{statement} {ORDER}", values)]

    def deleted(self, key_id: str, limit: int) -> list[Conversation]:
        rows = self._select(
            f"{OWN} AND deleted_at IS NOT NULL AND erased_at IS NULL ORDER BY deleted_at DESC LIMIT :limit",
            {"key_id": key_id, "limit": limit},
        )
        return [conversation_from_row(row) for row in rows]

    def folders(self, key_id: str) -> list[str]:
        rows = self._select(
            "SELECT DISTINCT folder FROM conversations WHERE key_id = :key_id AND deleted_at IS NULL AND folder <> ''",
            {"key_id": key_id},
        )
        return sorted((row["folder"] for row in rows), key=str.casefold)

    def search(self, query: str, key_id: str) -> list[Found]:
        """Give those with the words in the title first, then by how well a message fits."""
        expression = expression_of(query)
        if expression is None:
            return []
        values = {"expression": expression, "key_id": key_id, "limit": FOUND_MAX, "ranked": RANKED_MAX}
        titles = [conversation_from_row(row) for row in self._select(IN_TITLES, values)]
        has_much = self._select(HAS_MUCH, {"key_id": key_id, "much": MUCH})
        best = self._select(FROM_WORDS if has_much else FROM_OWN, values)
        message_ids = {row["conversation_id"]: row["message_id"] for row in best}
        others = {each.id: each for each in self._conversations(message_ids.keys() - {each.id for each in titles})}
        ordered = [*titles, *(others[each] for each in message_ids if each in others)][:FOUND_MAX]
        texts = self._texts([message_ids[each.id] for each in ordered if each.id in message_ids])
        return [_found(each, message_ids.get(each.id), texts, query) for each in ordered]

    def _conversations(self, ids: Collection[str]) -> list[Conversation]:
        marks = ", ".join("?" * len(ids))
        rows = self._select(f"SELECT {CONVERSATIONS} FROM conversations WHERE id IN ({marks})", tuple(ids))  # noqa: S608
        return [conversation_from_row(row) for row in rows]

    def _texts(self, message_ids: Collection[str]) -> dict[str, str]:
        marks = ", ".join("?" * len(message_ids))
        rows = self._select(f"SELECT id, content FROM messages WHERE id IN ({marks})", tuple(message_ids))  # noqa: S608
        return {row["id"]: row["content"] for row in rows}

    def _select(self, statement: str, values: Any) -> list[sqlite3.Row]:
        with self._file.lock:
            return self._file.connection.execute(statement, values).fetchall()


def _found(conversation: Conversation, message_id: str | None, texts: Mapping[str, str], query: str) -> Found:
    title = snippet_of(conversation.title, query)
    if message_id is None or message_id not in texts:
        return Found(conversation, title, Markup(""))
    return Found(conversation, title, snippet_of(texts[message_id], query), message_id)

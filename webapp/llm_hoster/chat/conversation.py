"""
The conversations of this job on disk, those of ended jobs among them: a file that this process alone writes.

job_database.py says how it is written, merge.py how it gets what other jobs have written. Whatever is asked for is
asked for with the key of a visitor, and nobody finds what is another's.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_hoster.attachments.attachment import Attachment, attachments_from_json
from llm_hoster.chat.listing import PAGE, Found, Listing
from llm_hoster.chat.message import Conversation, Message, title_of
from llm_hoster.chat.row import (
    CONVERSATION_NAMES,
    CONVERSATIONS,
    INSERT_MESSAGE,
    MESSAGES,
    UPDATE_MESSAGE,
    conversation_from_row,
    message_from_row,
    row_from_message,
)
from llm_hoster.chat.schema import DAMAGED, is_whole, open_or_set_aside, set_aside
from llm_hoster.chat.shelf import Shelf
from llm_hoster.chat.shown_text import Kind, ShownText
from llm_hoster.chat.tree import Tree

SYNC_S = 2.0
# Other jobs see by the age of the file that this one is there.
HEARTBEAT_S = 15.0
# A full disk is told of once in a while, and not for each try.
COMPLAINT_S = 60.0
KEPT_DELETED_S = 30 * 86400.0
OWN_MESSAGES = (
    f"SELECT {MESSAGES} FROM messages JOIN conversations ON conversations.id = conversation_id "  # noqa: S608
    "WHERE key_id = ? AND deleted_at IS NULL"
)
DISK_IS_FULL = (
    "The disk takes no more: your latest messages are in this session's memory only, and are lost when it ends. "
    "Make room in {folder}; they are then saved by themselves."
)
Changes = dict[str, Any]

log = logging.getLogger(__name__)


class ConversationStore:
    """All methods may be called from any thread. They raise LookupError for what is not there or somebody else's."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it for its owner alone; replies that a killed process left running are failed."""
        self.path = path
        self.file, self._damage = open_or_set_aside(path)
        self._beginning = threading.Lock()
        # More than once where the file was damaged meanwhile: what others have must come into the new one too.
        self.times_begun = 1
        # What there is of earlier sessions is on its way into the list.
        self.is_gathering = False
        self._listing = Listing(self.file)
        self.shelf = Shelf(self.file)
        self._shown = ShownText(path)
        # Messages that the disk may not have as they are: running ones, and those that it did not take.
        self._live: dict[str, Message] = {}
        self._is_turned = False
        self._is_full = False
        self._complained_at = -COMPLAINT_S
        self.ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="history", daemon=True)
        self._keeper.start()

    @property
    def notice(self) -> str | None:
        """What people should know of their conversations at this moment, in a sentence."""
        return DISK_IS_FULL.format(folder=self.path.parent) if self._is_full else self._damage

    def tell_damage(self, sentence: str) -> None:
        self._damage = sentence

    def begin_anew(self) -> bool:
        """Where the file is not whole any more, keep it under another name and begin a new one; say whether it is."""
        with self._beginning:
            with self.file.lock:
                if is_whole(self.file.connection):
                    return False
            kept = self.file.begin_anew(set_aside)
            shown, self._shown = self._shown, ShownText(self.path)
            shown.close(is_needed=True)
            self.tell_damage(DAMAGED.format(path=kept))
            self.times_begun += 1
            log.error("%s was damaged, and is kept as %s", self.path, kept)
            return True

    # --- One conversation ---

    def find_conversation(self, conversation_id: str, key_id: str) -> Conversation | None:
        return self._find(conversation_id, key_id, "deleted_at IS NULL")

    def find_deleted(self, conversation_id: str, key_id: str) -> Conversation | None:
        """Find one that can still be restored."""
        return self._find(conversation_id, key_id, "deleted_at IS NOT NULL AND erased_at IS NULL")

    def settings_of(self, conversation_id: str, key_id: str) -> dict[str, Any]:
        """Give the settings of a conversation; of one that is not begun, those that it will have."""
        conversation = self.find_conversation(conversation_id, key_id)
        return conversation.settings if conversation else self._settings_for_new(key_id)

    def save_settings(self, conversation_id: str, key_id: str, settings: Mapping[str, Any], title: str = "") -> None:
        """Write the settings of a conversation. One that they begin has the title; without one it is in no list yet."""
        now = time.time()
        changed = self._change(
            "INSERT INTO conversations (id, title, created_at, updated_at, key_id, settings, changed_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET settings = excluded.settings, "
            "changed_at = excluded.changed_at WHERE key_id = excluded.key_id AND deleted_at IS NULL",
            conversation_id, title, now, now, key_id, json.dumps(settings), now,
        )  # fmt: skip
        if changed != 1:
            raise LookupError(conversation_id)

    def tree(self, conversation_id: str, key_id: str) -> Tree:
        """Give all messages of a conversation; none where it is somebody else's."""
        rows = self._select(f"{OWN_MESSAGES} AND conversation_id = ?", key_id, conversation_id)
        return Tree(self._live.get(row["id"]) or message_from_row(row) for row in rows)

    def messages(self, conversation_id: str, key_id: str) -> list[Message]:
        """Give the branch that is shown; where it ends with replies to choose from, to the first of them."""
        conversation = self.find_conversation(conversation_id, key_id)
        if conversation is None:
            return []
        return self.tree(conversation_id, key_id).whole_branch(conversation.leaf_id)

    def find_message(self, message_id: str, key_id: str) -> Message | None:
        rows = self._select(f"{OWN_MESSAGES} AND messages.id = ?", key_id, message_id)
        return self._live.get(message_id) or message_from_row(rows[0]) if rows else None

    def attachments(self, key_id: str) -> dict[str, tuple[Attachment, Conversation]]:
        """Give somebody's attachments by their ids, each with the chat that has used it last; deleted ones count."""
        names = ", ".join(f"conversations.{name}" for name in CONVERSATION_NAMES)
        rows = self._select(
            f"SELECT messages.attachments, {names} FROM messages "  # noqa: S608
            "JOIN conversations ON conversations.id = conversation_id "
            "WHERE key_id = ? AND messages.attachments <> '[]' ORDER BY messages.created_at",
            key_id,
        )
        return {
            attachment.id: (attachment, conversation_from_row(row))
            for row in rows
            for attachment in attachments_from_json(json.loads(row["attachments"]))
        }

    def add_turn(self, question: Message, reply: Message, key_id: str, rival: Message | None = None) -> None:
        """
        Write a question and its still empty reply, and begin the conversation if they are its first.

        The question stands after its `parent_id`: after the last message shown, or, where a question is put in other
        words, after the one that came before that. Where the reply has a rival, the branch shown ends with the
        question until somebody has chosen.
        """
        replies = [reply] if rival is None else [reply, rival]
        for each in replies:
            each.parent_id = question.id
        self._add([question, *replies], key_id, reply.id if rival is None else question.id)

    def add_reply(self, reply: Message, key_id: str) -> None:
        """Write one more, still empty reply to the question that is its `parent_id`."""
        self._add([reply], key_id, reply.id)

    def show_branch(self, message_id: str, key_id: str) -> None:
        """Show the branch through a message, to the end of it that was written last."""
        message = self._require_message(message_id, key_id)
        leaf_id = self.tree(message.conversation_id, key_id).newest_leaf(message_id)
        self.change(message.conversation_id, key_id, {"leaf_id": leaf_id})

    def rate(self, message_id: str, rating: int, key_id: str) -> None:
        message = self._require_message(message_id, key_id)
        if rating not in {-1, 0, 1}:
            raise ValueError(f"A rating is -1, 0 or 1, and not {rating}.")
        message.rating = rating
        self._change("UPDATE messages SET rating = ?, changed_at = ? WHERE id = ?", rating, time.time(), message_id)

    def save_message(self, message: Message) -> None:
        """Write the message as it is. Where the disk takes no more it is kept here, and written later."""
        self._live[message.id] = message
        self._save(message)

    def write_shown(self, message_id: str, kind: Kind, offset: int, text: str) -> None:
        """Write down a piece of a running reply that is about to be shown; the message has it already."""
        try:
            self._shown.write(message_id, kind, offset, text)
        except (OSError, ValueError) as error:  # The latter after the end.
            self._complain(error)

    # --- What is done with whole conversations ---

    def change(self, conversation_id: str, key_id: str, changes: Changes) -> None:
        """Set `title`, `pinned`, `folder`, `settings` or `leaf_id`."""
        values = {name: json.dumps(value) if name == "settings" else value for name, value in changes.items()}
        unknown = values.keys() - {"title", "pinned", "folder", "settings", "leaf_id"}
        assert not unknown, unknown  # noqa: S101 - a fault of ours
        setting = ", ".join(f"{name} = ?" for name in values)
        self._update(conversation_id, key_id, setting, *values.values(), condition="deleted_at IS NULL")

    def retitle(self, conversation_id: str, key_id: str, before: str, title: str) -> None:
        """Set another title in the place of `before`; raise LookupError where somebody has set one meanwhile."""
        condition = "title = ? AND deleted_at IS NULL"
        changed = self._change(
            f"UPDATE conversations SET title = ?, changed_at = ? WHERE id = ? AND key_id = ? AND {condition}",  # noqa: S608
            title, time.time(), conversation_id, key_id, before,
        )  # fmt: skip
        if not changed:
            raise LookupError(conversation_id)

    def delete(self, conversation_id: str, key_id: str) -> None:
        """Take it out of the list; it can be restored until it is erased."""
        self._update(conversation_id, key_id, "deleted_at = ?", time.time(), condition="deleted_at IS NULL")

    def restore(self, conversation_id: str, key_id: str) -> None:
        condition = "deleted_at IS NOT NULL AND erased_at IS NULL"
        self._update(conversation_id, key_id, "deleted_at = ?", None, condition=condition)

    def erase(self, conversation_id: str, key_id: str) -> None:
        """Delete it for good. What stays is that it was deleted, so that no other file brings it back."""
        if self._find(conversation_id, key_id, "erased_at IS NULL") is None:
            raise LookupError(conversation_id)
        self._erase([conversation_id])

    def erase_old(self) -> None:
        """Erase what was deleted a month ago."""
        before = time.time() - KEPT_DELETED_S
        self.shelf.erase_old(before)
        self._erase([row["id"] for row in self._select(
            "SELECT id FROM conversations WHERE deleted_at < ? AND erased_at IS NULL", before
        )])  # fmt: skip

    # --- Many conversations ---

    def conversations(
        self, key_id: str, *, folder: str = "", after: Conversation | None = None, limit: int = PAGE
    ) -> list[Conversation]:
        """List somebody's: the pinned first, then the last used; those after `after`, which is the last one known."""
        return self._listing.page(key_id, folder, after, limit)

    def deleted(self, key_id: str, limit: int = PAGE) -> list[Conversation]:
        return self._listing.deleted(key_id, limit)

    def folders(self, key_id: str) -> list[str]:
        return self._listing.folders(key_id)

    def search(self, query: str, key_id: str) -> list[Found]:
        """Find conversations by words of their titles and messages."""
        return self._listing.search(query, key_id)

    # --- The file ---

    def close(self) -> None:
        """Write all, and leave a file that says by itself that it is whole."""
        if self.ending.is_set():
            return
        self.ending.set()
        self._keeper.join()
        self._save_live()
        self._shown.close(is_needed=self._is_turned)
        self.file.close()

    def _add(self, messages: list[Message], key_id: str, leaf_id: str) -> None:
        try:
            self._write(messages, key_id, leaf_id)
        except BaseException:
            for message in messages:
                self._live.pop(message.id, None)
            raise

    def _write(self, messages: list[Message], key_id: str, leaf_id: str) -> None:
        now = time.time()
        first = messages[0]
        settings = json.dumps(self._settings_for_new(key_id))
        with self.file.transaction() as database:
            if first.parent_id is not None:
                where = (first.parent_id, first.conversation_id)
                if not database.execute(
                    "SELECT 1 FROM messages WHERE id = ? AND conversation_id = ?", where
                ).fetchone():
                    raise LookupError(first.parent_id)
            changed = database.execute(
                "INSERT INTO conversations (id, title, created_at, updated_at, key_id, leaf_id, settings, changed_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at, "
                "title = CASE title WHEN '' THEN excluded.title ELSE title END, "
                "leaf_id = excluded.leaf_id, changed_at = excluded.changed_at "
                "WHERE key_id = excluded.key_id AND deleted_at IS NULL",
                (first.conversation_id, title_of(first.content), now, now, key_id, leaf_id, settings, now),
            )
            if changed.rowcount != 1:
                raise LookupError(first.conversation_id)
            for message in messages:
                if message.state == "running":
                    # Before its text is looked at: what comes after that is saved by `_keep`.
                    self._live[message.id] = message
                database.execute(INSERT_MESSAGE, row_from_message(message, now))

    def _settings_for_new(self, key_id: str) -> dict[str, Any]:
        preset = self.shelf.for_new_chats(key_id)
        return {} if preset is None else dict(preset.body)

    def _find(self, conversation_id: str, key_id: str, condition: str) -> Conversation | None:
        rows = self._select(
            f"SELECT {CONVERSATIONS} FROM conversations WHERE id = ? AND key_id = ? AND {condition}",  # noqa: S608
            conversation_id,
            key_id,
        )
        return conversation_from_row(rows[0]) if rows else None

    def _require_message(self, message_id: str, key_id: str) -> Message:
        message = self.find_message(message_id, key_id)
        if message is None:
            raise LookupError(message_id)
        return message

    def _update(self, conversation_id: str, key_id: str, setting: str, *values: Any, condition: str) -> None:
        changed = self._change(
            f"UPDATE conversations SET {setting}, changed_at = ? WHERE id = ? AND key_id = ? AND {condition}",  # noqa: S608
            *values,
            time.time(),
            conversation_id,
            key_id,
        )
        if not changed:
            raise LookupError(conversation_id)

    def _erase(self, conversation_ids: list[str]) -> None:
        now = time.time()
        for each in conversation_ids:
            with self.file.transaction() as database:
                database.execute("DELETE FROM messages WHERE conversation_id = ?", (each,))
                database.execute(
                    "UPDATE conversations SET title = '', folder = '', settings = '{}', leaf_id = NULL, "
                    "deleted_at = coalesce(deleted_at, :now), erased_at = :now, changed_at = :now WHERE id = :id",
                    {"id": each, "now": now},
                )

    def _select(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        with self.file.lock:
            return self.file.connection.execute(statement, values).fetchall()

    def _change(self, statement: str, *values: Any) -> int:
        with self.file.transaction() as database:
            return database.execute(statement, values).rowcount

    # --- What the disk does not have yet ---

    def _keep(self) -> None:
        """A thread of its own: a slow disk must delay no token, no page and no question."""
        beaten_at = -HEARTBEAT_S
        while not self.ending.wait(SYNC_S):
            self._save_live()
            try:
                self.file.sync()
                if time.monotonic() - beaten_at >= HEARTBEAT_S:
                    beaten_at = time.monotonic()
                    os.utime(self.path)
            except (OSError, sqlite3.Error) as error:
                self._complain(error)

    def _save_live(self) -> None:
        """Write all that is in memory; then what was shown of it before this began needs not be kept apart."""
        if not self._is_turned:
            self._shown.turn()
        self._is_turned = not all([self._save(message) for message in list(self._live.values())])
        if not self._is_turned:
            self._is_full = False
            try:
                self._shown.forget()
            except OSError as error:
                self._complain(error)

    def _save(self, message: Message) -> bool:
        is_running = message.state == "running"
        try:
            with self.file.transaction() as database:
                database.execute(UPDATE_MESSAGE, row_from_message(message, time.time()))
        except sqlite3.Error as error:
            self._complain(error)
            return False
        if not is_running:
            self._live.pop(message.id, None)
        return True

    def _complain(self, error: Exception) -> None:
        self._is_full = True
        if time.monotonic() - self._complained_at >= COMPLAINT_S:
            self._complained_at = time.monotonic()
            log.error("%s cannot be written: %s", self.path, error)

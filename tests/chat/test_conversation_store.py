"""Conversations on disk."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.engine_request import messages_for_engine
from llm_hoster.chat.message import Message, title_of

OpenStore = Callable[[], ConversationStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    stores: list[ConversationStore] = []

    def open_it() -> ConversationStore:
        stores.append(ConversationStore(tmp_path / "history" / "job.sqlite3"))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


def ask(store: ConversationStore, conversation: str, text: str) -> None:
    """Go on after what is shown."""
    before = store.messages(conversation, "owner")
    question = Message(conversation, "user", text, parent_id=before[-1].id if before else None)
    store.add_turn(question, Message(conversation, "assistant", "x"), "owner")


def test_the_file_can_be_read_by_its_owner_alone(open_store: OpenStore) -> None:
    path = open_store().path

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_turn_is_there_after_a_restart_with_all_that_is_known_of_it(open_store: OpenStore) -> None:
    reply = Message("c", "assistant", "Hi", reasoning="hm", tool_calls=[{"name": "get_time", "arguments": "{}"}],
                    finish_reason="stop", completion_tokens=3, first_token_s=0.5, total_s=1.5)  # fmt: skip
    question = Message("c", "user", "Hello\0 \N{PILE OF POO} \N{RIGHT-TO-LEFT OVERRIDE}")
    store = open_store()
    store.add_turn(question, reply, "owner")
    store.close()

    again = open_store()

    assert again.messages("c", "owner") == [question, reply]
    assert [conversation.title for conversation in again.conversations("owner")] == [title_of(question.content)]


def test_the_last_used_conversation_comes_first(open_store: OpenStore) -> None:
    store = open_store()
    for conversation in ("a", "b", "a"):
        ask(store, conversation, conversation)

    assert [conversation.id for conversation in store.conversations("owner")] == ["a", "b"]
    assert [message.content for message in store.messages("a", "owner")] == ["a", "x", "a", "x"]


def test_pages_of_the_list_have_each_chat_once_also_where_times_are_equal(open_store: OpenStore) -> None:
    store = open_store()
    for letter in "abcdefgh":
        ask(store, letter, letter)
    with store.file.transaction() as database:
        database.execute("UPDATE conversations SET updated_at = 7.0 WHERE id < 'g'")
    for letter in "bd":
        store.change(letter, "owner", {"pinned": True})
    seen: list[str] = []
    page = store.conversations("owner", limit=3)
    while page:
        seen += [each.id for each in page]
        page = store.conversations("owner", limit=3, after=page[-1])

    assert seen == list("dbhgfeca")


def test_everybody_has_conversations_of_ones_own(open_store: OpenStore) -> None:
    store = open_store()
    reply = Message("c", "assistant", "Hi")
    store.add_turn(Message("c", "user", "Hello"), reply, "owner")

    with pytest.raises(LookupError):
        store.add_turn(Message("c", "user", "Mine"), Message("c", "assistant", "x"), "key-1")

    assert store.conversations("key-1") == store.messages("c", "key-1") == []
    assert store.find_conversation("c", "key-1") is store.find_message(reply.id, "key-1") is None
    assert store.find_message(reply.id, "owner") == reply
    assert [message.content for message in store.messages("c", "owner")] == ["Hello", "Hi"]


def test_a_file_system_that_gives_no_locks_is_written_all_the_same(open_store: OpenStore) -> None:
    """Another process holds what SQLite would ask for, which fails as it fails where there are no locks at all."""
    store = open_store()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", hold, str(store.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdout.readline()
        store.add_turn(Message("c", "user", "Hello"), Message("c", "assistant", "Hi"), "owner")
        holder.stdin.write(b"\n")
        holder.stdin.flush()

    assert [message.content for message in store.messages("c", "owner")] == ["Hello", "Hi"]


def test_a_path_may_hold_what_an_address_may_not(tmp_path: Path) -> None:
    path = tmp_path / "100% of a?vfs=unix#1 'home' \N{SNOWMAN}" / "job&x.sqlite3"
    ConversationStore(path).close()

    assert path.stat().st_size > 0


def test_nothing_is_half_written_when_a_write_fails(open_store: OpenStore) -> None:
    store = open_store()
    question = Message("c", "user", "Hello")

    with pytest.raises(sqlite3.IntegrityError):
        store.add_turn(question, Message("c", "assistant", "Hi", id=question.id), "owner")

    assert store.conversations("owner") == []


@pytest.mark.parametrize(("said", "told"), [
    (["a", ("b", "done"), "c"], ["a", "b", "c"]),
    (["a", ("", "stopped"), "c"], ["a\n\nc"]),
    (["a", "c"], ["a\n\nc"]),
    (["a", ("", "failed"), "c"], ["c"]),
    (["a", ("", "failed")], ["a"]),
    (["a", ("", "stopped"), "b", ("", "failed"), "c"], ["a\n\nc"]),
    (["a", ("b", "done"), "x", ("", "stopped"), "c", ("d", "failed"), "e"], ["a", "b", "x\n\nc", "d", "e"]),
])  # fmt: skip
def test_a_question_without_a_reply_is_told_with_the_next_one(
    said: list[str | tuple[str, Any]], told: list[str]
) -> None:
    questions = [("user", each, "done") if isinstance(each, str) else ("assistant", *each) for each in said]
    messages = [Message("c", role, content, state=state) for role, content, state in questions]

    assert [message["content"] for message in messages_for_engine(messages, lambda message: message.content)] == told


def test_pictures_of_questions_that_are_told_together_stay_parts() -> None:
    picture = [{"type": "image_url", "image_url": {"url": "data:x"}}, {"type": "text", "text": "What is this?"}]
    contents = {"a": picture, "c": "And why?"}
    messages = [Message("c", "user", "a"), Message("c", "assistant", "", state="stopped"), Message("c", "user", "c")]

    told = messages_for_engine(messages, lambda message: contents[message.content])

    assert told == [{"role": "user", "content": [*picture, {"type": "text", "text": "And why?"}]}]


@pytest.mark.parametrize(("text", "title"), [("  Two\nlines ", "Two lines"), ("x" * 61, "x" * 59 + "…"), ("ü", "ü")])
def test_a_title_is_the_beginning_of_the_first_message(text: str, title: str) -> None:
    assert title_of(text) == title

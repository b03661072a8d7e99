"""Conversations on disk."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.chat.conversation import CUT_OFF, ConversationStore
from llm_hoster.chat.message import Message, messages_for_engine, title_of

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


def test_the_file_can_be_read_by_its_owner_alone(open_store: OpenStore) -> None:
    path = open_store().path

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_turn_is_there_after_a_restart_with_all_that_is_known_of_it(open_store: OpenStore) -> None:
    reply = Message("c", "assistant", "Hi", reasoning="hm", tool_calls=[{"name": "get_time", "arguments": "{}"}],
                    finish_reason="stop", completion_tokens=3, first_token_s=0.5, total_s=1.5)  # fmt: skip
    question = Message("c", "user", "Hello\0 \N{PILE OF POO} \N{RIGHT-TO-LEFT OVERRIDE}")
    store = open_store()
    store.add_turn(question, reply)
    store.close()

    again = open_store()

    assert again.messages("c") == [question, reply]
    assert [conversation.title for conversation in again.conversations()] == [title_of(question.content)]


def test_a_reply_that_a_killed_process_left_running_is_failed_with_what_came(open_store: OpenStore) -> None:
    open_store().add_turn(Message("c", "user", "Hello"), Message("c", "assistant", "Half", state="running"))

    reply = open_store().messages("c")[1]

    assert (reply.content, reply.state, reply.failure) == ("Half", "failed", CUT_OFF)


def test_the_last_used_conversation_comes_first(open_store: OpenStore) -> None:
    store = open_store()
    for conversation in ("a", "b", "a"):
        store.add_turn(Message(conversation, "user", conversation), Message(conversation, "assistant", "x"))

    assert [conversation.id for conversation in store.conversations()] == ["a", "b"]
    assert [message.content for message in store.messages("a")] == ["a", "x", "a", "x"]


def test_a_file_system_that_gives_no_locks_is_written_all_the_same(open_store: OpenStore) -> None:
    """Another process holds what SQLite would ask for, which fails as it fails where there are no locks at all."""
    store = open_store()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", hold, str(store.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdout.readline()
        store.add_turn(Message("c", "user", "Hello"), Message("c", "assistant", "Hi"))
        holder.stdin.write(b"\n")
        holder.stdin.flush()

    assert [message.content for message in store.messages("c")] == ["Hello", "Hi"]


def test_a_path_may_hold_what_an_address_may_not(tmp_path: Path) -> None:
    path = tmp_path / "100% of a?vfs=unix#1 'home' \N{SNOWMAN}" / "job&x.sqlite3"
    ConversationStore(path).close()

    assert path.stat().st_size > 0


def test_nothing_is_half_written_when_a_write_fails(open_store: OpenStore) -> None:
    store = open_store()
    message = Message("c", "user", "Hello")

    with pytest.raises(sqlite3.IntegrityError):
        store.add_turn(message, message)

    assert store.conversations() == []


@pytest.mark.parametrize(("roles", "told"), [
    ([("user", "a"), ("assistant", "b"), ("user", "c")], ["a", "b", "c"]),
    ([("user", "a"), ("assistant", ""), ("user", "c")], ["c"]),
    ([("user", "a"), ("assistant", "b"), ("user", "x"), ("assistant", ""), ("user", "c")], ["a", "b", "c"]),
])  # fmt: skip
def test_a_question_without_a_reply_is_not_told_to_the_model(roles: list[tuple[str, str]], told: list[str]) -> None:
    messages = [Message("c", role, content) for role, content in roles]  # type: ignore[arg-type]

    assert [message["content"] for message in messages_for_engine(messages)] == told


@pytest.mark.parametrize(("text", "title"), [("  Two\nlines ", "Two lines"), ("x" * 61, "x" * 59 + "…"), ("ü", "ü")])
def test_a_title_is_the_beginning_of_the_first_message(text: str, title: str) -> None:
    assert title_of(text) == title

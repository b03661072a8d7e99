"""Titles made by the model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.api_keys.api_key import owner_key
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.replies import Replies
from llm_hoster.chat.reply import Reply
from llm_hoster.chat.titles import cleaned
from llm_hoster.chat.turn import next_turn
from llm_hoster.usage.recorder import Recorder
from tests.chat.told_engine import Asked, ToldEngine, told_engine
from tests.live_engine import wait_for
from tests.web_session import API_KEY, MakeSettings, ready_state

OWNER = owner_key(API_KEY)


@pytest.fixture
def engine(short_dir: Path) -> Iterator[ToldEngine]:
    with told_engine(short_dir / "told.sock") as engine:
        yield engine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    with contextlib.closing(ConversationStore(tmp_path / "history" / "job.sqlite3")) as store:
        yield store


MakeReplies = Callable[..., Replies]


@pytest.fixture
def make_replies(
    make_settings: MakeSettings, store: ConversationStore, recorder: Recorder, engine: ToldEngine, short_dir: Path
) -> MakeReplies:
    def make(*, chat_titles: bool = True) -> Replies:
        settings = make_settings(state=ready_state(), engine=short_dir / "told.sock", chat_titles=chat_titles)
        return Replies(settings, store, recorder)

    return make


def ask(replies: Replies, store: ConversationStore, text: str) -> Reply:
    return replies.start(next_turn("c", store.messages("c", "owner"), text), OWNER)


def end(reply: Reply, asked: Asked) -> None:
    asked.say("A lock.")
    asked.end()
    list(reply.read(0, heartbeat_s=5.0))


def title(store: ConversationStore) -> str:
    conversation = store.find_conversation("c", "owner")
    assert conversation is not None
    return conversation.title


@pytest.mark.parametrize(("answer", "expected"), [
    ("Mutexes", "Mutexes"),
    ('"Mutexes in short."', "Mutexes in short"),
    ("<think>The user\nasks.</think>\n\n## Title: **„Sperren“ in C#**\nMore", "Sperren“ in C#"),
    ("asks for a lock.</think>Locks", "Locks"),
    ("<think>The user asks for", ""),
    ("", ""),
    (" \n\"\"\n", ""),
    ("\N{RIGHT-TO-LEFT OVERRIDE}ab\0c\x1b", "abc"),
    ("שלום עולם", "שלום עולם"),
    ("\N{MAN}\N{ZERO WIDTH JOINER}\N{GIRL} Family", "\N{MAN}\N{ZERO WIDTH JOINER}\N{GIRL} Family"),
    (".NET and <b>", ".NET and <b>"),
    ("word " * 30, "word " * 11 + "word…"),
])  # fmt: skip
def test_a_title_is_what_is_left_of_an_answer_without_thoughts_and_marks(answer: str, expected: str) -> None:
    assert cleaned(answer) == expected
    assert len(cleaned(answer)) <= 60


def test_a_title_stands_in_the_place_of_the_first_line_and_is_counted(
    make_replies: MakeReplies, store: ConversationStore, engine: ToldEngine, recorder: Recorder
) -> None:
    records = []
    recorder.listeners.append(records.append)
    replies = make_replies()
    reply = ask(replies, store, "What is a mutex?")
    end(reply, engine.next_question())
    wanted = engine.next_question()
    assert title(store) == "What is a mutex?"
    assert replies.titles.is_coming("c")
    assert (wanted.body["model"], wanted.body["priority"], wanted.body["max_tokens"]) == ("tiny", 2000, 200)
    wanted.answer("Mutexes")
    wait_for(lambda: title(store) == "Mutexes", "the title comes")
    wait_for(lambda: len(records) == 2, "both are recorded")
    assert {(record.key_id, record.route, record.status) for record in records} == {("owner", "chat", 200)}
    replies.titles.wait("c", 10.0)
    # Where the model was quicker than the page, the page asks for it all the same.
    assert replies.titles.is_coming("c")

    # Later replies need none.
    end(ask(replies, store, "And a lock?"), engine.next_question())
    assert not replies.titles.is_coming("c") and not engine.was_asked()


def test_the_next_question_waits_for_no_title_and_has_it_asked_for_again(
    make_replies: MakeReplies, store: ConversationStore, engine: ToldEngine
) -> None:
    replies = make_replies()
    end(ask(replies, store, "What is a mutex?"), engine.next_question())
    first = engine.next_question()
    second = ask(replies, store, "And a lock?")
    asked = engine.next_question()
    assert asked.body["messages"][-1]["content"] == "And a lock?"
    assert not replies.titles.is_coming("c")
    first.answer("Too late")
    end(second, asked)
    again = engine.next_question()
    assert "And a lock?" in json.dumps(again.body)
    again.answer("Locks")
    wait_for(lambda: title(store) == "Locks", "the title comes")


def test_a_title_of_a_person_is_never_replaced(
    make_replies: MakeReplies, store: ConversationStore, engine: ToldEngine
) -> None:
    replies = make_replies()
    end(ask(replies, store, "What is a mutex?"), engine.next_question())
    wanted = engine.next_question()
    store.change("c", "owner", {"title": "Mine"})
    wanted.answer("Locks")
    replies.titles.wait("c", 10.0)
    assert title(store) == "Mine"


@pytest.mark.parametrize("has_titles", [True, False])
def test_a_reply_that_failed_has_no_title_and_neither_where_the_site_wants_none(
    make_replies: MakeReplies, store: ConversationStore, engine: ToldEngine, has_titles: bool
) -> None:
    replies = make_replies(chat_titles=has_titles)
    reply = ask(replies, store, "What is a mutex?")
    if has_titles:
        engine.next_question().die()
        list(reply.read(0, heartbeat_s=5.0))
    else:
        end(reply, engine.next_question())
    assert not replies.titles.is_coming("c") and not engine.was_asked()
    assert title(store) == "What is a mutex?"

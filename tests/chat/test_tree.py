"""Branches of a conversation, and what people do with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message
from llm_hoster.chat.tree import Siblings, Tree


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    with contextlib.closing(ConversationStore(tmp_path / "job.sqlite3")) as store:
        yield store


def turn(store: ConversationStore, text: str, after: Message | None = None, key_id: str = "owner") -> list[Message]:
    question = Message("c", "user", text, parent_id=after.id if after else None)
    reply = Message("c", "assistant", f"re: {text}")
    store.add_turn(question, reply, key_id)
    return [question, reply]


def shown(store: ConversationStore) -> list[str]:
    return [message.content for message in store.messages("c", "owner")]


def test_another_reply_to_a_question_is_shown_beside_the_first(store: ConversationStore) -> None:
    question, first = turn(store, "a")
    turn(store, "b", first)
    second = Message("c", "assistant", "again", parent_id=question.id)
    store.add_reply(second, "owner")

    assert shown(store) == ["a", "again"]
    assert store.tree("c", "owner").siblings(second) == Siblings(2, 2, before=first.id, after=None)
    assert store.tree("c", "owner").siblings(first) == Siblings(1, 2, before=None, after=second.id)

    store.show_branch(first.id, "owner")

    assert shown(store) == ["a", "re: a", "b", "re: b"]


def test_a_question_in_other_words_begins_a_branch_from_the_same_place(store: ConversationStore) -> None:
    _, first = turn(store, "a")
    turn(store, "b", first)
    other, _ = turn(store, "c", first)
    begun, _ = turn(store, "A")

    assert shown(store) == ["A", "re: A"]
    assert store.tree("c", "owner").siblings(begun).position == 2
    store.show_branch(other.id, "owner")
    assert shown(store) == ["a", "re: a", "c", "re: c"]


def test_a_branch_is_shown_to_its_newest_end(store: ConversationStore) -> None:
    question, first = turn(store, "a")
    _, left = turn(store, "left", first)
    turn(store, "right", first)
    store.add_reply(Message("c", "assistant", "other", parent_id=question.id), "owner")

    store.show_branch(first.id, "owner")
    assert shown(store) == ["a", "re: a", "right", "re: right"]

    turn(store, "further left", left)
    store.show_branch(question.id, "owner")
    assert shown(store)[-1] == "re: further left"


def test_nobody_touches_another_ones_messages(store: ConversationStore) -> None:
    question, reply = turn(store, "a")

    for act in (
        lambda: turn(store, "b", reply, "key-1"),
        lambda: store.add_reply(Message("c", "assistant", parent_id=question.id), "key-1"),
        lambda: store.show_branch(question.id, "key-1"),
        lambda: store.rate(reply.id, 1, "key-1"),
    ):
        with pytest.raises(LookupError):
            act()  # type: ignore[no-untyped-call]
    assert store.tree("c", "key-1").branch(reply.id) == []
    assert store.messages("c", "owner") == [question, reply]


def test_a_message_stands_after_one_of_its_own_conversation(store: ConversationStore) -> None:
    _, reply = turn(store, "a")
    with pytest.raises(LookupError):
        store.add_turn(Message("d", "user", "b", parent_id=reply.id), Message("d", "assistant"), "owner")
    assert [each.id for each in store.conversations("owner")] == ["c"]


def test_a_rating_stays_whatever_the_reply_becomes(store: ConversationStore) -> None:
    question = Message("c", "user", "a")
    reply = Message("c", "assistant", state="running")
    store.add_turn(question, reply, "owner")
    store.rate(reply.id, -1, "owner")
    reply.state = "done"
    store.save_message(reply)
    found = store.find_message(reply.id, "owner")

    assert found is not None and (found.rating, found.state) == (-1, "done")
    with pytest.raises(ValueError, match="-1, 0 or 1"):
        store.rate(reply.id, 2, "owner")


def message(name: str, parent: str | None, at: float) -> Message:
    return Message("c", "user", name, id=name, parent_id=parent, created_at=at)


def test_what_is_missing_or_goes_in_a_circle_is_shown_as_far_as_it_goes() -> None:
    tree = Tree([message("a", "gone", 1.0), message("b", "a", 2.0)])
    assert [each.id for each in tree.branch("gone too")] == ["a", "b"]

    circle = Tree([message("a", "b", 1.0), message("b", "a", 2.0)])
    assert {each.id for each in circle.branch("a")} == {"a", "b"}
    assert circle.newest_leaf("a") in {"a", "b"}
    assert Tree([]).branch("x") == []


def test_a_branch_ends_with_what_failed_only_where_nothing_better_stands_beside_it() -> None:
    first, good, failed = message("q", None, 1.0), message("good", "q", 2.0), message("failed", "q", 3.0)
    failed.state = "failed"
    assert Tree([first, good, failed]).newest_leaf("q") == "good"
    assert Tree([first, good, failed]).newest_leaf("failed") == "failed"
    assert Tree([first, failed]).newest_leaf("q") == "failed"
    # What came after the good one belongs to it; and a chat that ends badly does not lose what came before its end.
    further, lost = message("further", "good", 4.0), message("lost", "further", 5.0)
    lost.state = "failed"
    assert Tree([first, good, failed, further]).newest_leaf("q") == "further"
    other = message("other", "q", 2.5)
    assert Tree([first, good, other, further, lost]).newest_leaf("q") == "lost"

"""Words that are looked for, and how they are shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message
from llm_hoster.words import snippet_of
from tests.chat.history_files import add_chat


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    with contextlib.closing(ConversationStore(tmp_path / "job.sqlite3")) as store:
        yield store


def found(store: ConversationStore, query: str, key_id: str = "owner") -> list[str]:
    return [each.conversation.id for each in store.search(query, key_id)]


@pytest.mark.parametrize("query", [
    "über", "UBER", "uber", "Zürich", "Zu\u0308rich", "zuri", "mutex über", "snake_case", "snake", "café", "cafe\u0301",
    "你好", "好世", "世", "東京", "ภาษา", "don't", "C++ mutex", "mutex.", "12345",
])  # fmt: skip
def test_words_are_found_in_any_case_accent_and_script(store: ConversationStore, query: str) -> None:
    text = "Über mutex in Zürich, CAFÉ, snake_case, 你好世界 and 東京都; ภาษาไทย, don't, C++ 12345"
    add_chat(store, "c", "Title", text)
    add_chat(store, "d", "Other", "Nothing of it")

    assert found(store, query) == ["c"]
    assert "<mark>" in store.search(query, "owner")[0].snippet


@pytest.mark.parametrize(
    "query", ["", "  ", "*", '"', "^", "()", "-", "_", "!!", "\0", "\ud800", "世界你", "ute", "mutex nothing"]
)
def test_what_is_nowhere_is_not_found(store: ConversationStore, query: str) -> None:
    add_chat(store, "c", "Title", "A mutex. 你好世界")
    assert found(store, query) == []


@pytest.mark.parametrize("query", [
    'mutex" OR "x', "mutex OR", "words : mutex", "mutex*", "{words}: mutex", "mutex NEAR", '"mutex', "mutex'; --",
    "NOT mutex", "mutex^2", "(mutex",
])  # fmt: skip
def test_what_people_type_is_no_language(store: ConversationStore, query: str) -> None:
    """Each is words, and only these: none is an error, and none finds all."""
    add_chat(store, "c", "Title", "A mutex or words, x and near; not 2")
    add_chat(store, "d", "Title", "Something else")
    assert found(store, query) == ["c"]


def test_the_last_word_may_be_only_begun(store: ConversationStore) -> None:
    add_chat(store, "c", "Title", "Supercomputer time")
    assert found(store, "superc") == found(store, "time superc") == ["c"]
    assert found(store, "superc time") == found(store, "superc ") == []


def test_titles_come_before_texts_and_others_chats_never(store: ConversationStore) -> None:
    add_chat(store, "text", "Title", "gpu " * 50)
    add_chat(store, "title", "gpu", "Something")
    add_chat(store, "hers", "gpu", "gpu", key_id="key-1")

    assert found(store, "gpu") == ["title", "text"]
    assert found(store, "gpu", "key-1") == ["hers"]
    assert found(store, "gpu", "key-2") == []


def test_a_reply_is_found_when_it_has_ended_and_a_title_by_its_new_words(store: ConversationStore) -> None:
    reply = Message("c", "assistant", "zanzi", state="running")
    store.add_turn(Message("c", "user", "Where?"), reply, "owner")
    reply.content = "zanzibar"
    store.save_message(reply)
    assert found(store, "zanzibar") == []
    reply.state = "done"
    store.save_message(reply)
    assert found(store, "zanzibar") == ["c"]
    assert store.search("zanzibar", "owner")[0].message_id == reply.id

    store.change("c", "owner", {"title": "Mombasa"})
    assert found(store, "mombasa") == ["c"]
    assert store.search("mombasa", "owner")[0].title == "<mark>Mombasa</mark>"
    store.change("c", "owner", {"title": "Else"})
    assert found(store, "mombasa") == []


def test_a_snippet_marks_what_was_found_and_escapes_all_else() -> None:
    text = f"{'before ' * 40}<script>mutex</script> & {'after ' * 80}"
    snippet = snippet_of(text, "Mutex scri")

    assert "&lt;<mark>scri</mark>pt&gt;<mark>mutex</mark>&lt;/<mark>scri</mark>pt&gt; &amp;" in snippet
    assert snippet.startswith("…before") and snippet.endswith("…")
    assert snippet_of("<b>", "x") == "&lt;b&gt;"
    assert snippet_of("Straße İstanbul 你好世界", "好世") == "Straße İstanbul 你<mark>好世</mark>界"
    assert snippet_of("<mark>", "mark") == "&lt;<mark>mark</mark>&gt;"


def test_who_has_little_beside_others_who_have_much_finds_it_too(
    store: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_hoster.chat.listing.MUCH", 4)
    for number in range(5):
        add_chat(store, f"c{number}", "Title", "gpu")
    add_chat(store, "hers", "Title", "gpu gpu", key_id="key-1")

    assert sorted(found(store, "gpu")) == [f"c{number}" for number in range(5)]
    assert found(store, "gpu", "key-1") == ["hers"]
    store.delete("hers", "key-1")
    store.delete("c0", "owner")
    assert sorted(found(store, "gpu")) == [f"c{number}" for number in range(1, 5)]
    assert found(store, "gpu", "key-1") == []


def test_words_that_were_deleted_for_good_find_nothing_that_came_after(store: ConversationStore) -> None:
    add_chat(store, "c", "Where is zanzibar?", "On zanzibar")
    store.delete("c", "owner")
    store.erase("c", "owner")
    add_chat(store, "d", "Something else", "Nothing of it")
    assert found(store, "zanzibar") == []

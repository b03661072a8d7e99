"""Our own file, out of a history and into another."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.exchange import own_format
from llm_hoster.chat.exchange.placing import Placed
from llm_hoster.chat.message import Conversation, Message, new_id
from tests.chat.history_files import add_chat
from tests.exchange.exchanged_files import (
    GUEST,
    THE_OWNER,
    A,
    B,
    MakeStore,
    document,
    exported,
    make_store,
    own,
    take_in,
)

__all__ = ["make_store"]
# What a text may have that comes from a history: no null characters, no halves of letters.
_stores: list[ConversationStore] = []  # One for all examples.
texts = some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
numbers = some.none() | some.floats(0, 1e6)
counts = some.none() | some.integers(0, 10**6)
times = some.floats(1, 1e9)


ATTACHED = {"id": "a" * 64, "name": "a.txt", "kind": "text", "size": 4, "characters": 20, "tokens": 5}
SOURCE = {
    "file_id": "a" * 64, "name": "a.txt", "text": "Some of it", "page": None, "first_line": 3, "last_line": 4,
    "head": "",
}  # fmt: skip
optional = some.none() | texts.filter(bool)
facts = some.fixed_dictionaries(
    {
        "role": some.sampled_from(["user", "assistant"]), "content": texts, "reasoning": texts,
        "state": some.sampled_from(["done", "stopped", "failed"]), "created_at": times, "changed_at": times,
        "prompt_tokens": counts, "completion_tokens": counts, "first_token_s": numbers, "reasoning_s": numbers,
        "total_s": numbers, "rating": some.sampled_from([-1, 0, 1]), "failure": optional, "finish_reason": optional,
        "tool_calls": some.just([]) | some.just([{"name": "search", "arguments": "{}"}]), "model": optional,
        "parent": some.integers(0, 7), "attachments": some.just([]) | some.just([ATTACHED]),
        "sources": some.just([]) | some.just([SOURCE]),
    }
)  # fmt: skip
values = some.fixed_dictionaries(
    {
        "created_at": times, "updated_at": times, "changed_at": times, "pinned": some.booleans(),
        "title": texts.map(lambda text: " ".join(text.split())), "leaf": some.integers(0, 7),
        "folder": texts.map(lambda text: " ".join(text.split())),
        "settings": some.dictionaries(texts, texts | counts | some.lists(texts, max_size=2), max_size=2),
    }
)  # fmt: skip


def conversation_of(values: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Each message stands after one before it, or begins a branch."""
    ids = [new_id() for _ in messages]
    for index, message in enumerate(messages):
        parent = message.pop("parent")
        message |= {"id": ids[index], "parent_id": ids[parent] if parent < index else None}
    messages.sort(key=lambda each: (each["created_at"], each["id"]))
    leaf_id = ids[values.pop("leaf") % len(ids)]
    return values | {"id": new_id(), "leaf_id": leaf_id, "messages": messages}


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=values, messages=some.lists(facts, min_size=1, max_size=8))
def test_a_tree_goes_out_and_in_and_is_the_same(
    make_store: MakeStore, values: dict[str, Any], messages: list[dict[str, Any]]
) -> None:
    conversation = conversation_of(values, messages)
    store = _stores[0] if _stores else make_store()
    assert take_in(store, document(conversation)).tally.placed == {Placed.ADDED: 1}
    (found,) = [each for each in exported(store) if each["id"] == conversation["id"]]
    assert found == conversation
    assert take_in(store, document(found)).tally.placed == {Placed.KNOWN: 1}
    store.erase(conversation["id"], "owner")
    _stores[:] = [store]


def test_every_field_is_in_the_file_and_comes_back() -> None:
    """A field that is new must be read too: give it a place in own_format.read."""
    told = {field.name for field in fields(Conversation)} - own_format.NOT_TOLD | {"changed_at", "messages"}
    assert set(own()) | {"pinned", "folder", "settings"} == told
    known = {
        "id", "conversation_id", "parent_id", "role", "content", "reasoning", "tool_calls", "state", "failure",
        "finish_reason", "model", "prompt_tokens", "completion_tokens", "first_token_s", "reasoning_s", "total_s",
        "created_at", "rating", "attachments", "sources",
    }  # fmt: skip
    assert {field.name for field in fields(Message)} == known


def test_each_conversation_stands_on_a_line_of_one_json_document(make_store: MakeStore) -> None:
    store = make_store()
    add_chat(store, A, "One\nline")
    add_chat(store, B, "Ünï \u2028 code")
    text = "".join(own_format.document(store, own_format.all_conversations(store, "owner")))
    head, *lines, end = text.rstrip("\n").split("\n")

    assert json.loads(text)["format"] == "llm-hoster-conversations" and json.loads(text)["version"] == 1
    assert [json.loads(line.rstrip(","))["id"] for line in lines] == [A, B]
    assert json.loads(head + end)["conversations"] == []
    assert json.loads("".join(own_format.document(store, iter([]))))["conversations"] == []


def test_what_is_deleted_or_anothers_is_not_exported(make_store: MakeStore) -> None:
    store = make_store()
    for chat, key_id in ((A, "owner"), (B, "owner"), ("c" * 32, "key-1")):
        add_chat(store, chat, key_id=key_id)
    store.delete(B, "owner")
    assert [each["id"] for each in exported(store)] == [A]
    assert [each["id"] for each in exported(store, "key-1")] == ["c" * 32]


def test_a_reply_that_is_being_written_is_told_as_stopped_with_what_it_has(make_store: MakeStore) -> None:
    store = make_store()
    reply = Message(A, "assistant", state="running")
    store.add_turn(Message(A, "user", "Hello"), reply, "owner")
    reply.content = "So f"
    (found,) = exported(store)
    told = {(each["content"], each["state"]) for each in found["messages"]}
    assert told == {("Hello", "done"), ("So f", "stopped")}


def test_what_is_missing_has_its_default_and_no_imported_reply_runs(make_store: MakeStore) -> None:
    store = make_store()
    messages = [{"id": f"{number:032x}", "role": "user", "created_at": number} for number in (1, 2)]
    take_in(store, document({"id": A, "messages": [messages[0], messages[1] | {"state": "running"}]}))
    assert [each["state"] for each in exported(store)[0]["messages"]] == ["done", "stopped"]


def test_the_later_state_of_a_conversation_stays(make_store: MakeStore) -> None:
    store = make_store()
    take_in(store, document(own(title="Second", changed_at=50.0)))
    later = own(title="First", changed_at=40.0)
    later["messages"].append({"id": "f" * 32, "parent_id": later["leaf_id"], "role": "user", "content": "More"})
    run = take_in(store, document(later))

    assert run.tally.placed == {Placed.CHANGED: 1}
    (found,) = exported(store)
    assert found["title"] == "Second" and len(found["messages"]) == 3
    take_in(store, document(own(title="Third", changed_at=60.0)))
    assert exported(store)[0]["title"] == "Third"


def test_a_guest_gets_copies_and_nobody_loses_anything(make_store: MakeStore) -> None:
    store = make_store()
    take_in(store, document(own()))
    before = exported(store)
    assert take_in(store, document(own(title="Mine", changed_at=90.0)), GUEST).tally.placed == {Placed.ADDED: 1}

    (copy,) = exported(store, GUEST.id)
    assert exported(store) == before
    assert copy["id"] != A and copy["title"] == "Mine"
    assert [each.content for each in store.messages(copy["id"], GUEST.id)] == ["Why?", "So."]
    assert take_in(store, document(own(title="Mine", changed_at=90.0)), GUEST).tally.placed == {Placed.KNOWN: 1}
    assert take_in(store, document(copy), GUEST).tally.placed == {Placed.KNOWN: 1}


def test_a_cut_is_at_its_message_also_where_that_has_another_id(make_store: MakeStore) -> None:
    chat = own()
    cut = {"after": chat["messages"][1]["id"], "summary": "They met.", "former_id": ""}
    store = make_store()
    for visitor in (THE_OWNER, GUEST):
        take_in(store, document(chat | {"settings": {"context": {"cuts": [cut], "changed_at": 5.0}}}), visitor)
        (found,) = exported(store, visitor.id)
        (there,) = found["settings"]["context"]["cuts"]
        assert there == cut | {"after": found["leaf_id"]}
        assert found["settings"]["context"]["changed_at"] == 5.0
    assert there != cut


def test_a_guest_takes_no_id_of_the_owners_that_may_still_come_from_another_job(make_store: MakeStore) -> None:
    store = make_store()
    take_in(store, document(own()), GUEST)
    assert exported(store, GUEST.id)[0]["id"] != A


def test_the_owner_takes_no_id_of_a_guests(make_store: MakeStore) -> None:
    store = make_store()
    add_chat(store, A, "The guest's", key_id=GUEST.id)
    take_in(store, document(own()), THE_OWNER)
    assert exported(store)[0]["id"] != A
    assert [each["title"] for each in exported(store, GUEST.id)] == ["The guest's"]


def test_a_message_that_another_conversation_has_stays_there(make_store: MakeStore) -> None:
    store = make_store()
    take_in(store, document(own(A)))
    stolen = own(B) | {"messages": own(A, changed_at=99.0)["messages"], "leaf_id": own(A)["leaf_id"]}
    for each in stolen["messages"]:
        each |= {"content": "Stolen", "changed_at": 1e9}
    take_in(store, document(stolen))

    assert [each.content for each in store.messages(A, "owner")] == ["Why?", "So."]
    assert [each.content for each in store.messages(B, "owner")] == ["Stolen", "Stolen"]


def test_what_is_deleted_stays_so_and_what_was_erased_comes_as_another(make_store: MakeStore) -> None:
    store = make_store()
    take_in(store, document(own()))
    store.delete(A, "owner")
    run = take_in(store, document(own()))
    assert run.tally.placed == {Placed.DELETED: 1} and exported(store) == []
    assert "among your deleted chats" in run.tally.remark_sentences[0]
    store.erase(A, "owner")
    assert take_in(store, document(own())).tally.placed == {Placed.ADDED: 1}
    assert take_in(store, document(own())).tally.placed == {Placed.KNOWN: 1}
    assert [each["title"] for each in exported(store)] == ["A title"]


def test_a_file_of_a_later_version_is_refused(make_store: MakeStore) -> None:
    store = make_store()
    run = take_in(store, document(own(), version=2))
    assert run.tally.ending is not None and "later version" in run.tally.ending.value
    assert exported(store) == []

"""ChatGPT's conversations.json, written by hand as it looks."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.exchange import chatgpt_format
from llm_hoster.chat.exchange.placing import Placed
from llm_hoster.chat.exchange.remark import Remark
from llm_hoster.chat.message import Message
from tests.exchange.exchanged_files import MakeStore, chatgpt, exported, make_store, node, take_in, zipped

__all__ = ["make_store"]

HIDDEN = {"is_visually_hidden_from_conversation": True}


def sample() -> dict[str, Any]:
    """A question in two wordings; the second one is answered with thoughts, a search and two pieces of text."""
    return chatgpt(
        node("system", "root", "system", "", metadata=HIDDEN),
        node("context", "system", "user", content={"content_type": "user_editable_context", "user_profile": "I"}),
        node("q1", "context", "user", "What is a tree?"),
        node("a1", "q1", "assistant", "A plant.", metadata={"model_slug": "gpt-4o"}),
        node("q2", "context", "user", "What is a tree in mathematics?"),
        node(
            "t",
            "q2",
            "assistant",
            content={"content_type": "thoughts", "thoughts": [{"summary": "Graphs", "content": "It is a graph."}]},
        ),
        node("search", "t", "assistant", 'search("tree")', recipient="web"),
        node("found", "search", "tool", "Results", kind="tether_quote"),
        node(
            "recap",
            "found",
            "assistant",
            content={"content_type": "reasoning_recap", "content": "Thought for 7s"},
            metadata={"finished_duration_sec": 7},
        ),
        node("a2", "recap", "assistant", "A graph", metadata={"model_slug": "gpt-5-thinking"}),
        node("a3", "a2", "assistant", "without circles."),
        node(
            "q3",
            "a3",
            "user",
            {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x"},
            "And this?",
            kind="multimodal_text",
            metadata={"attachments": [{"id": "file-x", "name": "oak.jpg"}]},
        ),
        current="q3",
    )


def shown(store: ConversationStore) -> list[Message]:
    (conversation,) = store.conversations("owner")
    return store.messages(conversation.id, "owner")


def test_the_tree_comes_in_as_readers_have_seen_it(make_store: MakeStore) -> None:
    store = make_store()
    run = take_in(store, [sample()])
    (conversation,) = store.conversations("owner")

    assert run.tally.placed == {Placed.ADDED: 1} and run.tally.ending is None
    assert (conversation.title, conversation.created_at, conversation.updated_at) == (
        "Trees",
        1_700_000_000.0,
        1_700_000_100.0,
    )
    question, answer, last = shown(store)
    assert question.content == "What is a tree in mathematics?" and question.created_at == 1_700_000_000.5
    assert answer.content == "A graph\n\nwithout circles." and answer.model == "gpt-5-thinking"
    assert answer.reasoning == "Graphs\n\nIt is a graph." and answer.reasoning_s == 7.0
    assert last.content == "And this?\n\n[Attached: oak.jpg]"
    tree = store.tree(conversation.id, "owner")
    assert tree.siblings(question).count == 2
    assert run.tally.remarks == {Remark.HIDDEN: 3, Remark.FILES: 1}


def test_the_same_export_brings_nothing_twice(make_store: MakeStore) -> None:
    store = make_store()
    take_in(store, [sample()])
    before = exported(store)
    assert take_in(store, [sample()]).tally.placed == {Placed.KNOWN: 1}
    later = sample()
    later["mapping"] |= {"a4": node("a4", "q3", "assistant", "An oak.")}
    later |= {"current_node": "a4", "update_time": 1_700_000_500.0}
    assert take_in(store, [later]).tally.placed == {Placed.CHANGED: 1}
    assert exported(store) != before and shown(store)[-1].content == "An oak."


def test_the_archive_is_taken_as_it_is(make_store: MakeStore) -> None:
    store = make_store()
    first, second = [json.dumps([sample() | {"conversation_id": name}]).encode() for name in "12"]
    files = {
        "chat.html": b"<p>",
        "user.json": b"{}",
        "conversations-000.json": first,
        "x/conversations-001.json": second,
    }
    assert take_in(store, zipped(files)).tally.placed == {Placed.ADDED: 2}
    assert take_in(make_store(), zipped({"conversations.json": first})).tally.placed == {Placed.ADDED: 1}


def test_one_conversation_alone_is_taken_too(make_store: MakeStore) -> None:
    assert take_in(make_store(), sample()).tally.placed == {Placed.ADDED: 1}


def test_answers_with_several_continuations_are_not_joined(make_store: MakeStore) -> None:
    store = make_store()
    nodes = [node("q", "root", "user", "Go"), node("a", "q", "assistant", "One")]
    take_in(
        store, [chatgpt(*nodes, node("b", "a", "assistant", "Two"), node("c", "a", "assistant", "Three"), current="b")]
    )
    assert [each.content for each in shown(store)] == ["Go", "One", "Two"]


def test_a_circle_is_cut_and_its_messages_stay(make_store: MakeStore) -> None:
    store = make_store()
    run = take_in(store, [chatgpt(node("a", "b", "user", "One"), node("b", "a", "assistant", "Two"), current="b")])
    assert [each.content for each in shown(store)] == ["One", "Two"]
    assert run.tally.remarks == {Remark.CIRCULAR: 1}


def test_a_node_whose_parent_is_missing_begins_a_branch(make_store: MakeStore) -> None:
    store = make_store()
    take_in(store, [chatgpt(node("a", "gone", "user", "One"), node("b", "a", "assistant", "Two"), current="nowhere")])
    assert [each.content for each in shown(store)] == ["One", "Two"]


def cleaned(*parts: str, references: Any = ()) -> str:
    metadata = {"content_references": references}
    given = chatgpt(
        node("q", "root", "user", "Go"), node("a", "q", "assistant", *parts, metadata=metadata), current="a"
    )
    messages = chatgpt_format.read(given).messages
    return messages["a"].content if "a" in messages else ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It is so \ue200cite\ue202turn0search1\ue202turn0search4\ue201.", "It is so."),
        ("Done. \ue200navlist\ue202More\ue202turn0news1\ue201 Next", "Done. Next"),
        ("One\ue200cite\ue202a\ue201 two \ue200cite\ue202b\ue201", "One two"),
        ("As told【4†source】, and here 【12:0†report.pdf】.", "As told, and here."),
        ("Cut off \ue200cite\ue202turn0", "Cut off citeturn0"),
        ("「An」【quote】 stays, and † too", "「An」【quote】 stays, and † too"),
        ("[Download the table](sandbox:/mnt/data/a (1).csv) now", "Download the table now"),
        ("![A chart](sandbox:/mnt/data/chart.png)", "A chart"),
        ("[A link](https://example.org) stays", "[A link](https://example.org) stays"),
        ("\ue200cite\ue202turn0search1\ue201", ""),
    ],
)
def test_marks_of_sources_are_left_out(text: str, shown: str) -> None:
    assert cleaned(text) == shown


def test_links_take_the_places_of_their_marks() -> None:
    first, second = "\ue200cite\ue202turn0search1\ue201", "【4†source】"
    references: list[Any] = [
        {"matched_text": first, "alt": "([One](https://one.example))"},
        {"matched_text": second, "alt": "([Two](https://two.example))"},
        {"matched_text": first, "alt": "([Three](https://three.example))"},
        {"matched_text": " ", "alt": "no mark"},
        {"matched_text": "\ue200x\ue201", "alt": None},
        *(None, 7, {"matched_text": []}),
    ]
    told = cleaned(f"A {first} and {second}. {first}", f"End {first} \ue200x\ue201", references=references)
    assert told == (
        "A ([One](https://one.example)) and ([Two](https://two.example)). ([Three](https://three.example))\n\nEnd"
    )
    assert cleaned("A", references="none") == "A"


def test_many_marks_take_no_longer_than_their_length() -> None:
    """A file with one long line of marks that do not end."""
    before = time.monotonic()
    for piece in ("\ue200", "【", "【†", "†", "[", "![x](sandbox:", " ", "[x](sandbox:(a)", "(a)"):
        cleaned(f"[x](sandbox:{piece * 100_000}")
    assert time.monotonic() - before < 10

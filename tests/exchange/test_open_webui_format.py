"""Open WebUI's export, written by hand as it looks."""

from __future__ import annotations

from typing import Any

from llm_hoster.chat.exchange.placing import Placed
from llm_hoster.chat.exchange.remark import Remark
from tests.exchange.exchanged_files import MakeStore, exported, make_store, open_webui, said, take_in

__all__ = ["make_store"]

FOLDED = """<details type="reasoning" done="true" duration="4">
<summary>Thought for 4 seconds</summary>
> A &lt;cell&gt; is small.
> It divides.
</details>
<details type="tool_calls" done="true" id="x" name="search">
<summary>Tool Executed</summary>
</details>
It divides."""


def sample() -> dict[str, Any]:
    return open_webui(
        said("q", None, "user", "What does a cell do?", files=[{"type": "file", "name": "cells.pdf"}]),
        said("a1", "q", "assistant", "Nothing.", model="llama3.1:8b", annotation={"rating": -1}),
        said(
            "a2",
            "q",
            "assistant",
            FOLDED,
            model="qwen3:8b",
            done=True,
            usage={"prompt_tokens": 5, "completion_tokens": 9},
            annotation={"rating": 1},
        ),
        said("q2", "a2", "user", [{"type": "text", "text": "Why?"}, {"type": "image_url", "image_url": {"url": "x"}}]),
        said("a3", "q2", "assistant", "", error={"content": "Out of memory"}, done=True),
        current="a3",
    )


def test_the_tree_comes_in_with_what_is_known_of_each_message(make_store: MakeStore) -> None:
    store = make_store()
    run = take_in(store, [sample()])
    (conversation,) = store.conversations("owner")
    question, answer, second, failed = store.messages(conversation.id, "owner")

    assert run.tally.placed == {Placed.ADDED: 1}
    assert conversation.title == "Cells" and conversation.pinned and conversation.created_at == 1_700_000_000.0
    assert question.content == "What does a cell do?\n\n[Attached: cells.pdf]"
    assert answer.content == "It divides." and answer.reasoning == "A <cell> is small.\nIt divides."
    assert (answer.model, answer.prompt_tokens, answer.completion_tokens, answer.rating, answer.reasoning_s) == (
        "qwen3:8b",
        5,
        9,
        1,
        4.0,
    )
    assert second.content == "Why?" and second.created_at == 1_700_000_050.0
    assert failed.state == "failed" and failed.failure == "Out of memory"
    assert store.tree(conversation.id, "owner").siblings(answer).count == 2
    assert run.tally.remarks == {Remark.HIDDEN: 1, Remark.FILES: 1}
    assert take_in(store, [sample()]).tally.placed == {Placed.KNOWN: 1}


def test_the_list_of_early_versions_is_a_branch(make_store: MakeStore) -> None:
    store = make_store()
    chat = open_webui(said("1", None, "user", "Hello"), said("2", None, "assistant", "Hi"))
    del chat["chat"]["history"]
    for each in chat["chat"]["messages"]:
        del each["id"], each["parentId"], each["childrenIds"], each["timestamp"]
    take_in(store, [chat])
    (conversation,) = store.conversations("owner")
    assert [each.content for each in store.messages(conversation.id, "owner")] == ["Hello", "Hi"]


def test_the_text_of_late_versions_stands_in_the_output(make_store: MakeStore) -> None:
    store = make_store()
    output = [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "Yes."}]}]
    take_in(store, [open_webui(said("q", None, "user", "Is it?"), said("a", "q", "assistant", "", output=output))])
    (conversation,) = store.conversations("owner")
    assert [each.content for each in store.messages(conversation.id, "owner")] == ["Is it?", "Yes."]


def test_what_stands_after_a_hidden_message_stands_after_the_one_before_it(make_store: MakeStore) -> None:
    store = make_store()
    messages = [said("q", None, "user", "One"), said("s", "q", "system", "x"), said("a", "s", "assistant", "Two")]
    take_in(store, [open_webui(*messages, current="a")])
    (conversation,) = store.conversations("owner")
    assert [each.content for each in store.messages(conversation.id, "owner")] == ["One", "Two"]


def test_folded_parts_without_an_end_stay_as_they_are(make_store: MakeStore) -> None:
    store = make_store()
    text = '<details type="reasoning">' * 35_000
    take_in(store, [open_webui(said("q", None, "user", "One"), said("a", "q", "assistant", text))])
    assert text in [each["content"] for each in exported(store)[0]["messages"]]

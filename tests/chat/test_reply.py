"""A reply and its readers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Literal

import pytest

from llm_hoster.chat.delta import Delta
from llm_hoster.chat.message import Message
from llm_hoster.chat.reply import Event, Facts, Reply

HEARTBEAT_S = 5.0


def make_reply() -> Reply:
    return Reply(Message("c", "assistant", state="running"), "owner")


def read_text(reply: Reply, number: int = 0) -> str:
    events = reply.read(number, heartbeat_s=HEARTBEAT_S)
    return "".join(event.data for event in events if event is not None and event.name == "text")


def end(reply: Reply, state: Literal["done", "stopped"] = "done") -> None:
    reply.finish(state)
    reply.tell_end()


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_readers_that_come_at_any_time_read_the_same_text() -> None:
    reply, texts = make_reply(), []
    readers = [in_thread(lambda: texts.append(read_text(reply))) for _ in range(3)]
    for word in ["one", "two", "three", "four"]:
        reply.add(Delta(content=word))
    end(reply)
    for reader in readers:
        reader.join(HEARTBEAT_S)
    texts.append(read_text(reply))

    assert texts == ["onetwothreefour"] * 4


def test_a_page_shows_what_came_and_reads_on_from_there() -> None:
    reply = make_reply()
    reply.add(Delta(content="# A\n\nfirst\n\nsec"))
    reply.add(Delta(reasoning="hm"))
    snapshot = reply.snapshot()
    reply.add(Delta(content="ond"))
    end(reply)

    assert snapshot.html == "<h3>A</h3>\n<p>first</p>\n"
    assert (snapshot.tail, snapshot.rest, snapshot.reasoning) == ("<p>sec</p>\n", "", "hm")
    assert read_text(reply, snapshot.number) == "ond"


def test_a_block_event_brings_what_is_finished_and_shows_the_rest_as_it_is_so_far() -> None:
    reply = make_reply()
    for text in ("one\n\n- tw", "o\n- th\n"):
        reply.add(Delta(content=text))
    end(reply)

    blocks = [event for event in reply.read(0, heartbeat_s=HEARTBEAT_S) if event is not None and event.name == "block"]

    first = {
        "parts": "",
        "html": "<p>one</p>\n",
        "tail": "<ul>\n<li>\n<p>tw</p>\n</li>\n</ul>\n",
        "rest": "",
        "joins": False,
    }
    second = {
        "parts": "",
        "html": "<ul>\n<li>\n<p>two</p>\n</li>\n</ul>\n",
        "tail": "<ul>\n<li>\n<p>th</p>\n</li>\n</ul>\n",
    }
    assert blocks == [Event(2, "block", first), Event(4, "block", {**first, **second, "rest": "\n", "joins": True})]


def test_a_late_reader_gets_neighbouring_pieces_in_one() -> None:
    reply = make_reply()
    for word in ("a", "b", "c"):
        reply.add(Delta(content=word))
    end(reply)

    assert list(reply.read(2, heartbeat_s=HEARTBEAT_S)) == [Event(4, "text", "bc"), Event(5, "done", None)]


def test_what_comes_after_a_stop_changes_nothing() -> None:
    reply = make_reply()
    reply.add(Delta(content="kept"))
    end(reply, "stopped")
    reply.add(Delta(content=" late"))
    reply.finish("failed", "late")

    assert (reply.message.content, reply.message.state, reply.message.failure) == ("kept", "stopped", None)
    assert reply.message.total_s is not None


def test_silence_gives_heartbeats() -> None:
    assert next(make_reply().read(0, heartbeat_s=0.01)) is None


def test_the_figures_come_with_the_pieces_and_say_nothing_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr("llm_hoster.chat.reply.time", SimpleNamespace(monotonic=lambda: now.s))
    reply = make_reply()
    reader, told = reply.read(0, heartbeat_s=0.0), []
    for number in range(30):
        now.s += 0.125
        reply.add(Delta(reasoning="hm ") if number < 12 else Delta(content="so "))
        told += list(iter(lambda: next(reader), None))
    end(reply)

    facts = [event for event in told if event.name == "facts"]
    assert facts[0].data == Facts(None, None, first_token_s=0.125, thinking_s=0.0)
    assert facts[1].data == Facts(5, tokens_per_second=8.0, first_token_s=0.125, thinking_s=0.5)
    assert [each.data.thinking_s is None for each in facts] == [False] * 3 + [True] * 5
    # They are no part of what is read again, and a page has those that were told last.
    assert [each.number for each in facts] == [told[told.index(each) - 1].number for each in facts]
    assert reply.snapshot().facts is facts[-1].data
    assert sum(event.name == "facts" for event in reply.read(0, heartbeat_s=0.0) if event is not None) == 0


def test_what_goes_on_with_an_answer_is_answer_whatever_the_engine_takes_it_for() -> None:
    reply = Reply(Message("c", "assistant", "It is", state="running", reasoning="Because."), "owner")
    reply.add(Delta(reasoning=" so"))
    reply.add(Delta(content=".", finish_reason="stop"))
    end(reply)
    assert (reply.message.content, reply.message.reasoning) == ("It is so.", "Because.")


def test_the_pieces_stand_for_the_tokens_where_nobody_tells_them() -> None:
    told, stopped = make_reply(), make_reply()
    for reply in (told, stopped):
        for _ in range(3):
            reply.add(Delta(content="x"))
    told.add(Delta(usage={"completion_tokens": 7}))
    for reply in (told, stopped):
        end(reply, "stopped")
    assert (told.message.completion_tokens, stopped.message.completion_tokens) == (7, 3)


def test_the_figures_go_on_while_a_tool_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr("llm_hoster.chat.reply.time", SimpleNamespace(monotonic=lambda: now.s))
    reply = make_reply()
    reader, told = reply.read(0, heartbeat_s=0.0), []
    for piece in ({"name": "get_time"}, *[{"arguments": "x"}] * 8):
        now.s += 0.125
        reply.add(Delta(tool_calls=({"index": 0, "function": piece},)))
        told += list(iter(lambda: next(reader), None))

    assert [(each.name, each.number, each.data.tool, each.data.completion_tokens) for each in told] == [
        ("facts", 0, "get_time", tokens) for tokens in (None, 5, 9)
    ]

"""A reply and its readers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

from llm_hoster.chat.delta import Delta
from llm_hoster.chat.message import Message
from llm_hoster.chat.reply import Event, Reply

HEARTBEAT_S = 5.0


def make_reply() -> Reply:
    return Reply(Message("c", "assistant", state="running"))


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
    assert (snapshot.tail, snapshot.reasoning) == ("sec", "hm")
    assert read_text(reply, snapshot.number) == "ond"


def test_a_block_event_replaces_the_tail() -> None:
    reply = make_reply()
    reply.add(Delta(content="one\n\ntwo"))
    end(reply)

    blocks = [event for event in reply.read(0, heartbeat_s=HEARTBEAT_S) if event is not None and event.name == "block"]

    assert blocks == [Event(2, "block", {"html": "<p>one</p>\n", "tail": "two"})]


def test_a_late_reader_gets_neighbouring_pieces_in_one() -> None:
    reply = make_reply()
    for word in ("a", "b", "c"):
        reply.add(Delta(content=word))
    end(reply)

    assert list(reply.read(1, heartbeat_s=HEARTBEAT_S)) == [Event(3, "text", "bc"), Event(4, "done", None)]


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


def test_a_change_is_saved_once() -> None:
    reply = make_reply()
    reply.add(Delta(content="a"))

    assert [reply.take_unsaved(), reply.take_unsaved()] == [True, False]

"""What people, engines and disks do that nobody hopes for: it goes through as it is, or is refused in a sentence."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.chat.delta import parse_event
from llm_hoster.chat.failure import sentence_of
from llm_hoster.chat.merge import history_path
from llm_hoster.chat.message import Message
from tests.chat.echo_engine import echo_engine
from tests.chat.told_engine import ToldEngine, told_engine
from tests.live_engine import wait_for
from tests.saved_chats import read_saved
from tests.web_session import MakeClient, MakeSettings, WebServer

CHAT = "c" * 32
FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
MIXED = "שלום world, \N{RIGHT-TO-LEFT OVERRIDE}reversed\N{POP DIRECTIONAL FORMATTING} и мир 世界"
CONTROLS = "bell\x07 escape\x1b[31m tab\t delete\x7f next\x85 line\u2028end"
SURROGATE = "\\ud83d"
HIDDEN = "\N{REPLACEMENT CHARACTER}"


def events_in(answer: bytes) -> list[tuple[str, Any]]:
    found = re.findall(rb"^event: (\w+)\ndata: (.*)$", answer, re.MULTILINE)
    return [(name.decode(), json.loads(data)) for name, data in found]


class Chat:
    """The page's script, without a browser."""

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self.browser = server.browser()

    def ask(self, text: str, conversation_id: str = CHAT) -> list[tuple[str, Any]]:
        """Send a message, and give all events of its answer."""
        answer = self.browser.post(
            f"{self.server.url}/chat/{conversation_id}/messages",
            data={"message": text}, headers={"Accept": "text/event-stream"}, timeout=120,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return events_in(answer.content)

    def page(self, conversation_id: str = CHAT) -> str:
        return self.browser.get(f"{self.server.url}/chat/{conversation_id}", timeout=60).text

    def source(self, number: int, conversation_id: str = CHAT) -> str:
        """Give a message as it is kept."""
        message_id = re.findall(r'<li id="message-(\w+)"', self.page(conversation_id))[number]
        return self.browser.get(f"{self.server.url}/chat/messages/{message_id}/source", timeout=60).text


@pytest.fixture
def chat(make_server: Callable[..., WebServer], short_dir: Path) -> Iterator[Chat]:
    with echo_engine(short_dir / "echo.sock", piece=250_000):
        yield Chat(make_server(engine=short_dir / "echo.sock"))


@pytest.fixture
def engine(short_dir: Path) -> Iterator[ToldEngine]:
    with told_engine(short_dir / "told.sock") as engine:
        yield engine


def test_any_text_goes_to_the_model_and_back_as_it_is(chat: Chat) -> None:
    texts = [MIXED, f"{FAMILY} family", CONTROLS, "x" * 1_000_000, "\N{PILE OF POO}" * 250_000]
    sent = [*texts, "nul\0l", "two\r\nlines"]
    kept = [*texts, "nul\N{REPLACEMENT CHARACTER}l", "two\nlines"]
    for number, (text, expected) in enumerate(zip(sent, kept, strict=True)):
        conversation_id = f"{number:032x}"
        events = chat.ask(text, conversation_id)
        shown = expected.replace("\N{RIGHT-TO-LEFT OVERRIDE}", HIDDEN).replace("\N{POP DIRECTIONAL FORMATTING}", HIDDEN)
        assert "".join(data for name, data in events if name == "text") == shown
        assert events[-1][1]["state"] == "done"
        assert [chat.source(each, conversation_id) for each in (0, 1)] == [expected, expected]
        assert html.escape(expected) in chat.page(conversation_id)


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "The message is empty. Write something first."),
    (" \t\r\n\u2003", "The message is empty. Write something first."),
    ("x" * 1_000_001, "The message has 1,000,001 characters; at most 1,000,000 characters are taken."),
])  # fmt: skip
def test_what_is_no_message_is_refused_in_a_sentence(make_client: MakeClient, text: str, sentence: str) -> None:
    answer = make_client().post(f"/chat/{CHAT}/messages", data={"message": text}, headers={"HX-Request": "true"})

    assert (answer.status_code // 100, sentence in answer.text) == (4, True)


def test_half_a_character_from_a_program_is_none(chat: Chat) -> None:
    body = b"message=half+%ED%A0%BD+%FF"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    chat.browser.post(f"{chat.server.url}/chat/{CHAT}/messages", data=body, headers=headers, timeout=30)
    wait_for(lambda: "message-stop" not in chat.page(), "the reply ends")

    assert chat.source(0).startswith("half ")


def test_what_an_engine_says_in_bad_unicode_can_be_read_and_kept(
    make_server: Callable[..., WebServer], short_dir: Path, engine: ToldEngine
) -> None:
    chat = Chat(make_server(engine=short_dir / "told.sock"))
    with chat.browser.post(
        f"{chat.server.url}/chat/{CHAT}/messages",
        data={"message": "Hello"}, headers={"Accept": "text/event-stream"}, stream=True, timeout=60,
    ) as answer:  # fmt: skip
        asked = engine.next_question()
        call = [{"index": 0, "function": {"name": "f\ud83d", "arguments": "{\ude00\0}"}}]
        asked.say("a\ud83d\0b", reasoning="c\ude00", tool_calls=call)
        asked.end()
        events = events_in(answer.content)

    assert [data for name, data in events if name == "text"] == ["a\N{REPLACEMENT CHARACTER}\0b"]
    assert events[-1][1]["state"] == "done"
    page = chat.page()
    assert "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b" in page
    assert "<code>f\N{REPLACEMENT CHARACTER}</code>" in page


def test_nothing_that_a_model_says_turns_the_words_around_it(
    make_server: Callable[..., WebServer], short_dir: Path, engine: ToldEngine
) -> None:
    chat = Chat(make_server(engine=short_dir / "told.sock"))
    with chat.browser.post(
        f"{chat.server.url}/chat/{CHAT}/messages",
        data={"message": "Hello"}, headers={"Accept": "text/event-stream"}, stream=True, timeout=60,
    ) as answer:  # fmt: skip
        asked = engine.next_question()
        call = {"name": "a\N{RIGHT-TO-LEFT OVERRIDE}b", "arguments": "{\N{RIGHT-TO-LEFT ISOLATE}}"}
        asked.say("c\N{LEFT-TO-RIGHT OVERRIDE}d", reasoning="e\N{RIGHT-TO-LEFT EMBEDDING}f")
        asked.say(tool_calls=[{"index": 0, "function": call}])
        wait_for(lambda: f"e{HIDDEN}f" in chat.page(), "the thoughts are shown")
        while_it_runs = chat.page()
        asked.end()
        written = answer.content.decode()

    page = chat.page()
    exported = chat.browser.get(f"{chat.server.url}/chats/{CHAT}/export.html", timeout=60).text
    for text in (while_it_runs, page, exported, written.replace("\\ufffd", HIDDEN)):
        assert not re.search("[\u202a-\u202e\u2066-\u2069]|\\\\u(?:202[a-e]|206[6-9])", text)
        assert f"e{HIDDEN}f" in text
    assert all(f"<code>{each}</code>" in text for each in (f"a{HIDDEN}b", f"{{{HIDDEN}}}") for text in (page, exported))


def test_thoughts_that_an_engine_leaves_in_the_answer_are_shown_as_thoughts(
    make_server: Callable[..., WebServer], short_dir: Path, engine: ToldEngine
) -> None:
    chat = Chat(make_server(engine=short_dir / "told.sock"))
    with chat.browser.post(
        f"{chat.server.url}/chat/{CHAT}/messages",
        data={"message": "Hello"}, headers={"Accept": "text/event-stream"}, stream=True, timeout=60,
    ) as answer:  # fmt: skip
        asked = engine.next_question()
        for piece in ("<thi", "nk>I pon", "der</th", "ink>\n\nHi", " there"):
            asked.say(piece)
        asked.end()
        events = events_in(answer.content)

    assert "".join(data for name, data in events if name == "reasoning") == "I ponder"
    assert "".join(data for name, data in events if name == "text") == "Hi there"
    shown = r'<summary>Thought for [\d.]+ s</summary>\s*<div class="reasoning-text">I ponder</div>'
    assert re.search(shown, chat.page())
    assert chat.source(1) == "Hi there"


def test_an_error_of_an_engine_in_bad_unicode_can_be_told() -> None:
    error = parse_event(f'{{"error": {{"message": "no {SURROGATE}"}}}}'.encode()).error
    sentence = sentence_of(400, f'{{"error": {{"message": "no {SURROGATE}"}}}}'.encode())

    assert error == "no \N{REPLACEMENT CHARACTER}"
    assert sentence.encode().decode() == "The engine refused this: no \N{REPLACEMENT CHARACTER}"


def test_a_disk_that_fills_up_in_the_middle_ends_no_reply_and_is_told(
    make_client: MakeClient, short_dir: Path, engine: ToldEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_hoster.chat.conversation.SYNC_S", 0.01)
    client = make_client(engine=short_dir / "told.sock")
    store = client.application.extensions["llm_hoster"]["store"]
    answer = client.post(
        f"/chat/{CHAT}/messages", data={"message": "Hello"}, headers={"Accept": "text/event-stream"}, buffered=False
    )
    asked = engine.next_question()
    store.file.connection.execute("PRAGMA query_only = ON")
    asked.say("all of it")
    asked.end()
    events = [data for _, data in events_in(answer.get_data())]

    assert events[-1]["state"] == "done" and "all of it" in events[-1]["html"]
    assert "The disk takes no more" in events[-1]["notice"]
    assert "The disk takes no more" in client.get(f"/chat/{CHAT}").text
    refused = client.post(f"/chat/{CHAT}/messages", data={"message": "More"}, headers={"HX-Request": "true"})
    assert (refused.status_code, "The message could not be saved" in refused.text) == (507, True)
    engine.next_question()

    store.file.connection.execute("PRAGMA query_only = OFF")
    wait_for(lambda: store.notice is None, "there is room again")
    assert "The disk takes no more" not in client.get(f"/chat/{CHAT}").text
    assert read_saved(store.path, "SELECT content FROM messages WHERE role = 'assistant'") == [("all of it",)]


def test_a_damaged_history_is_kept_told_and_a_new_one_begun(
    make_settings: MakeSettings, make_client: MakeClient
) -> None:
    path = history_path(make_settings())
    path.parent.mkdir(parents=True)
    damaged = b"SQLite format 3\0" + b"\xff" * 5000
    path.write_bytes(damaged)
    client = make_client()

    page = client.get("/").text
    (kept,) = path.parent.glob("*.corrupt-*")
    assert kept.read_bytes() == damaged
    assert re.search(
        rf'class="history-notice" role="alert">A file of your conversations was damaged.*{kept.name}', page
    )
    store = client.application.extensions["llm_hoster"]["store"]
    with store.file.transaction() as database:
        assert database.execute("PRAGMA quick_check").fetchone()[0] == "ok"
    assert client.get("/").text.count(kept.name) == 1


def test_a_history_that_is_damaged_while_it_is_open_is_set_aside_too(make_client: MakeClient) -> None:
    client = make_client()
    store = client.application.extensions["llm_hoster"]["store"]
    for number in range(40):
        question = Message(f"{number:032x}", "user", f"Question {number} " + "x" * 500)
        store.add_turn(question, Message(question.conversation_id, "assistant", "y" * 4000), "owner")
    store.file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.file.connection.execute("PRAGMA cache_size = 1")
    damaged = bytearray(store.path.read_bytes())
    damaged[4096:] = os.urandom(len(damaged) - 4096)
    with store.path.open("r+b") as file:
        file.write(damaged)

    first = client.get("/")
    second = client.get("/")

    assert (first.status_code, second.status_code) == (503, 200)
    assert "damaged. It is kept, and a new one has been begun" in html.unescape(first.text)
    (kept,) = [path for path in store.path.parent.iterdir() if re.search(r"\.corrupt-[-\d]+\Z", path.name)]
    assert kept.read_bytes() == damaged
    assert second.text.count(kept.name) == 1
    client.post(f"/chat/{CHAT}/messages", data={"message": "Still there?"})
    assert [each.id for each in store.conversations("owner")] == [CHAT]

"""The chat in front of real vLLM."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest
import requests

from tests.live_engine import LiveEngine, wait_for
from tests.web_session import WebServer

pytestmark = pytest.mark.engine

MakeServer = Callable[..., WebServer]
CHAT = "c" * 32
GREETING = "Hello! I am the tiny model of LLM Hoster."


def read_events(response: requests.Response) -> Iterator[tuple[str, Any]]:
    assert response.headers["Content-Type"].startswith("text/event-stream")
    name = ""
    for line in response.iter_lines(1, decode_unicode=True):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


class ChatPage:
    """What a browser does with the page, without a browser."""

    def __init__(self, server: WebServer) -> None:
        self.url = server.url
        self.browser = server.browser()

    def ask(self, text: str, chat: str = CHAT) -> str:
        """Send a message as the page's script does, hang up after the turn, and name the address of all its events."""
        with self.browser.post(
            f"{self.url}/chat/{chat}/messages",
            data={"message": text},
            headers={"Accept": "text/event-stream"},
            stream=True,
            timeout=30,
        ) as response:
            assert response.status_code == 200, response.text
            name, turn = next(read_events(response))
        assert name == "turn"
        found = re.search(r'id="message-(\w+)" class="message message-assistant"', turn["html"])
        assert found is not None, turn
        return f"{self.url}/chat/replies/{found[1]}/events?after=0"

    def events_address(self, html: str) -> str:
        found = re.search(r'data-events="([^"]*)"', html)
        assert found is not None, html
        return self.url + unescape(found[1])

    def page(self, chat: str = CHAT) -> str:
        return self.browser.get(f"{self.url}/chat/{chat}", timeout=30).text

    def events(self, address: str) -> Iterator[tuple[str, Any]]:
        with self.browser.get(address, stream=True, timeout=60) as response:
            yield from read_events(response)

    def whole_reply(self, address: str) -> tuple[str, str]:
        """Read to the end: the streamed text, and the finished message as HTML."""
        text, html = "", ""
        for name, data in self.events(address):
            if name == "text":
                text += str(data)
            if name == "done":
                html = data["html"]
        return text, html

    def stop(self, address: str) -> None:
        reply_id = address.split("/")[-2]
        assert self.browser.post(
            f"{self.url}/chat/replies/{reply_id}/stop", headers={"HX-Request": "true"}, timeout=10
        ).status_code == 204  # fmt: skip


@pytest.fixture
def server(make_server: MakeServer, live_engine: LiveEngine) -> WebServer:
    return make_server(engine=live_engine.socket_path)


@pytest.fixture
def chat(server: WebServer) -> Iterator[ChatPage]:
    page = ChatPage(server)
    yield page
    page.browser.close()


def test_the_model_answers_and_the_page_keeps_it(chat: ChatPage) -> None:
    text, html = chat.whole_reply(chat.ask("Say hello."))

    assert text.strip() == GREETING
    assert f"<p>{GREETING}</p>" in html
    assert "tokens" in html
    assert f"<p>{GREETING}</p>" in chat.page()


def test_thoughts_are_shown_apart(chat: ChatPage) -> None:
    text, html = chat.whole_reply(chat.ask("Think, then answer."))

    assert text.strip() == "Done."
    assert '<div class="reasoning-text">I should answer with one word.</div>' in html


def test_markdown_is_rendered_and_the_attack_in_it_is_text(chat: ChatPage) -> None:
    _, html = chat.whole_reply(chat.ask("Show me markdown."))

    assert "<li>\n<p>one</p>\n</li>" in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "<img" not in html


def test_a_reload_in_the_middle_gives_the_same_whole_text(chat: ChatPage) -> None:
    address = chat.ask("Write for a long time.")
    first = threading.Thread(target=lambda: whole.append(chat.whole_reply(address)[0]))
    whole: list[str] = []
    first.start()
    events = chat.events(address)
    for _ in range(5):
        next(events)
    page = chat.page()
    tail = re.search(r'<div class="reply-tail"><p>([^<]*)</p>\n</div>([^<]*)</div>', page)
    assert tail is not None
    rest: list[str] = []
    second = threading.Thread(target=lambda: rest.append(chat.whole_reply(chat.events_address(page))[0]))
    second.start()
    wait_for(lambda: len(chat.page()) > len(page) + 200, "the reply goes on")
    chat.stop(address)
    first.join(20)
    second.join(20)

    assert whole[0].strip() == (tail[1] + tail[2] + rest[0]).strip()
    assert whole[0].strip() in chat.page()


def test_stop_ends_vllms_work_at_once_and_keeps_what_came(chat: ChatPage, live_engine: LiveEngine) -> None:
    live_engine.wait_until_running(0)
    address = chat.ask("Write for a long time.")
    events = chat.events(address)
    text = ""
    while "river mountain" not in text:
        name, data = next(events)
        assert name in {"text", "block", "facts"}
        text += data if name == "text" else ""

    chat.stop(address)

    live_engine.wait_until_running(0, timeout_s=5)
    assert dict(events)["done"]["state"] == "stopped"
    assert "river mountain" in chat.page()


def test_a_stopped_answer_goes_on_as_answer(chat: ChatPage) -> None:
    address = chat.ask("Count to twenty.")
    events = chat.events(address)
    text = ""
    while "three" not in text:
        name, data = next(events)
        text += data if name == "text" else ""
    chat.stop(address)
    assert dict(events)["done"]["state"] == "stopped"

    reply_id = address.split("/")[-2]
    assert chat.browser.post(f"{chat.url}/chat/messages/{reply_id}/continue", timeout=30).status_code == 200
    wait_for(lambda: "message-stop" not in chat.page(), "the reply ends")
    assert re.search(r"<p>one two three .* nineteen twenty</p>", chat.page())


def test_vllm_makes_a_title(make_server: MakeServer, live_engine: LiveEngine) -> None:
    chat = ChatPage(make_server(engine=live_engine.socket_path, chat_titles=True))
    done = dict(chat.events(chat.ask("Say hello.")))["done"]
    title = chat.browser.get(f"{chat.url}{done['title_url']}", timeout=30).json()["title"]
    chat.browser.close()

    assert title not in {"", "Say hello."}


def test_a_second_message_waits_for_the_first_reply(chat: ChatPage) -> None:
    address = chat.ask("Write for a long time.")

    response = chat.browser.post(f"{chat.url}/chat/{CHAT}/messages", data={"message": "Say hello."}, timeout=10)

    assert response.status_code == 409
    chat.stop(address)


def test_a_conversation_too_long_for_the_model_is_told_in_a_sentence(chat: ChatPage) -> None:
    _, html = chat.whole_reply(chat.ask("word " * 9000))

    assert "longer than the 2,048 tokens that the model can read" in html
    text, _ = chat.whole_reply(chat.ask("Say hello."))
    assert text.strip() == GREETING


def test_what_came_before_is_left_out_or_summarised_when_the_model_cannot_read_more(chat: ChatPage) -> None:
    for _ in range(2):
        chat.whole_reply(chat.ask("word " * 900))
    _, html = chat.whole_reply(chat.ask("Say hello. " + "word " * 300))
    assert "longer than the 2,048 tokens that the model can read" in html

    context = f"{chat.url}/chat/{CHAT}/context"
    meter = chat.browser.get(context, timeout=30).text
    assert "of 2,048 tokens" in meter and 'data-level="refused"' in meter
    page = chat.browser.post(f"{context}/leave-out", timeout=30).text
    assert "The model no longer reads what is above" in page
    wait_for(lambda: "message-stop" not in chat.page(), "the question is answered")
    assert "that the model can read" not in chat.page()

    # The tiny model knows nothing of summaries, and writes what it knows.
    chat.browser.post(f"{context}/undo", data={"after": cut_of(page)}, timeout=30)
    chat.browser.post(f"{context}/summary", timeout=30)
    wait_for(lambda: "The model reads a summary of what is above" in chat.page(), "it is summarised", timeout_s=60)
    used = re.search(r"(\d[\d,]*) of 2,048 tokens", chat.browser.get(context, timeout=30).text)
    assert used is not None and int(used[1].replace(",", "")) < 1000


def cut_of(page: str) -> str:
    found = re.search(r'name="after" value="(\w+)"', page)
    assert found is not None, page
    return found[1]


def test_the_answer_to_send_is_the_turn_and_then_the_whole_reply(chat: ChatPage) -> None:
    address = f"{chat.url}/chat/{CHAT}/messages"
    headers = {"Accept": "text/event-stream"}
    with chat.browser.post(
        address, data={"message": "Count to twenty."}, headers=headers, stream=True, timeout=60
    ) as response:
        events = list(read_events(response))

    names = [name for name, _ in events]
    assert names[0] == "turn"
    assert names[-1] == "done"
    assert "Count to twenty." in events[0][1]["html"]
    assert events[0][1]["url"] == f"/chat/{CHAT}"
    assert "Count to twenty." in events[0][1]["conversations"]
    assert "".join(data for name, data in events if name == "text").strip().endswith("nineteen twenty")


def test_without_scripts_a_form_is_enough(chat: ChatPage) -> None:
    response = chat.browser.post(f"{chat.url}/chat", data={"message": "Say hello."}, timeout=10)

    assert re.fullmatch(rf"{chat.url}/chat/[0-9a-f]{{32}}", response.url)
    wait_for(lambda: GREETING in chat.browser.get(response.url, timeout=10).text, "the reply is there")


@pytest.mark.parametrize("text", ["", "   \n ", "x" * 1_000_001])
def test_a_message_that_cannot_be_sent_is_refused_with_a_sentence(chat: ChatPage, text: str) -> None:
    response = chat.browser.post(
        f"{chat.url}/chat/{CHAT}/messages", data={"message": text}, headers={"HX-Request": "true"}, timeout=30
    )

    assert response.status_code in {400, 413}
    assert response.text.startswith('<div id="error"')


def test_an_unknown_chat_or_reply_is_not_found(chat: ChatPage) -> None:
    for path in (f"/chat/{'0' * 32}", "/chat/replies/nope/events"):
        assert requests.get(chat.url + path, cookies=chat.browser.cookies, timeout=10).status_code == 404

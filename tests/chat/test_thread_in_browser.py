"""Where a chat stands when it is opened, and what moves it from there, in a real browser."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, Route, expect

from llm_hoster.chat.conversation import ConversationStore
from tests.chat.echo_engine import echo_engine
from tests.chat.history_files import add_chat, add_turns, grow_old
from tests.live_engine import wait_for
from tests.web_session import MakeSettings, WebServer

pytestmark = pytest.mark.browser

CHAT, MATHS_CHAT = "d" * 32, "e" * 32
TURNS = 25
TALL_WHEN_DRAWN = "$$\\begin{matrix}" + "a\\\\" * 8 + "\\end{matrix}$$"
LAST = f"Answer {TURNS - 1}"
TO_END_PX = "thread => thread.scrollHeight - thread.scrollTop - thread.clientHeight"
FILE: FilePayload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"one two three"}

OpenPage = Callable[..., Page]


@pytest.fixture
def gate(short_dir: Path) -> Iterator[threading.Event]:
    """As long as it is closed, no reply ends."""
    with echo_engine(short_dir / "echo.sock", piece=5) as gate:
        yield gate


@pytest.fixture
def server(
    make_settings: MakeSettings, make_server: Callable[..., WebServer], short_dir: Path, gate: threading.Event
) -> WebServer:
    path = make_settings().data_dir / "conversations" / "earlier.sqlite3"
    with contextlib.closing(ConversationStore(path)) as store:
        add_turns(store, CHAT, TURNS)
        add_chat(store, MATHS_CHAT, "A column", "A line.\n\n" * 30 + TALL_WHEN_DRAWN)
    grow_old(path, 100)
    return make_server(engine=short_dir / "echo.sock")


def to_end_px(page: Page) -> float:
    return float(page.locator("#thread").evaluate(TO_END_PX))


def expect_the_end(page: Page) -> None:
    wait_for(lambda: to_end_px(page) <= 1, "the end of the chat in sight", timeout_s=5)


def expect_in_sight(page: Page, text: str) -> None:
    expect(page.locator("#messages").get_by_text(text, exact=True).last).to_be_in_viewport(ratio=1)


def read_the_beginning(page: Page) -> None:
    page.locator("#thread").evaluate("thread => thread.scrollTo(0, 300)")
    page.wait_for_function("document.getElementById('thread').scrollTop === 300")


def test_a_chat_opens_at_its_end(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{CHAT}")
    expect_in_sight(page, LAST)
    expect_the_end(page)


def test_it_stays_there_as_formulas_come_until_its_reader_does_something(open_page: OpenPage) -> None:
    page = open_page()
    held: list[Route] = []
    page.route("**/katex.min.js", lambda route: held.append(route))
    page.goto(f"/chat/{MATHS_CHAT}")
    expect(page.locator(".math")).to_be_in_viewport()
    before = page.locator(".math").bounding_box()
    held[0].continue_()
    expect(page.locator(".math-drawn")).to_be_visible()
    after = page.locator(".math-drawn").bounding_box()
    assert before and after and after["height"] > before["height"] + 100
    expect_the_end(page)

    page.get_by_text("A line.").last.click()
    page.locator(".math-drawn").evaluate("formula => { formula.style.paddingBottom = '300px'; }")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert to_end_px(page) > 250


def test_a_link_to_a_message_opens_there(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{CHAT}")
    early = page.locator(".message", has_text="Question 2").first.get_attribute("id")
    page = open_page(f"/chat/{CHAT}#{early}")
    expect_in_sight(page, "Question 2")
    assert to_end_px(page) > 500


def test_what_takes_room_above_the_box_does_not_hide_the_end(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{CHAT}")
    expect_in_sight(page, LAST)
    page.get_by_label("Attach files").set_input_files([FILE])
    expect(page.locator("#attachments .attachment")).to_contain_text("tokens")
    page.get_by_label("Message", exact=True).fill("line\n" * 9)
    expect_in_sight(page, LAST)
    expect_the_end(page)


def test_a_reader_of_the_beginning_stays_there_until_asking(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{CHAT}")
    expect_in_sight(page, LAST)
    read_the_beginning(page)
    page.get_by_label("Attach files").set_input_files([FILE])
    expect(page.locator("#attachments .attachment")).to_contain_text("tokens")
    page.set_viewport_size({"width": 1280, "height": 500})
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.locator("#thread").evaluate("thread => thread.scrollTop") == 300

    page.get_by_label("Message", exact=True).fill("What is new?")
    page.keyboard.press("Enter")
    expect_in_sight(page, "What is new?")
    expect(page.locator(".message-stop")).to_have_count(0)
    expect_the_end(page)


@pytest.mark.parametrize(("wish", "animation"), [("reduce", "none"), ("no-preference", "breathe")])
def test_nothing_breathes_for_who_wants_no_motion(
    open_page: OpenPage, gate: threading.Event, wish: str, animation: str
) -> None:
    page = open_page(f"/chat/{CHAT}", reduced_motion=wish)
    gate.clear()
    page.get_by_label("Message", exact=True).fill("More?")
    page.get_by_label("Message", exact=True).press("Enter")
    assert page.locator(".dots").evaluate("dots => getComputedStyle(dots).animationName") == animation
    gate.set()
    expect(page.locator(".dots")).to_have_count(0)

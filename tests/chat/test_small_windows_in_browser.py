"""
What a window of any size shows: the page never scrolls out of it, nothing is too low to be read in at a high zoom, and
what colours say is said without them where the system chooses the colours.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message
from llm_hoster.engine.record.state import Step
from portal.chromium import CHROMIUM, FLAGS
from tests.chat.echo_engine import echo_engine
from tests.chat.history_files import add_chat, grow_old
from tests.shared_playwright import shared_playwright
from tests.web_session import PASSWORD, MakeSettings, WebServer, ready_state

pytestmark = pytest.mark.browser

CHAT = "d" * 32
PILE = "a" + "\u0301" * 60
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
# 1280 x 1024 at a zoom of 400 %, a small phone, and a larger one that lies on its side.
LOW = [(320, 256), (320, 568), (844, 390)]
ENDS_SOON_S = 8 * 60.0
# The figures of the job come a second after the page has opened.
FIGURES_MS = 8000
PAGE_PX = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
WINDOW_PX = "[innerWidth, innerHeight]"
WRITTEN = "count => [...document.querySelectorAll('.prose')].at(-1).textContent.length > count"
OUTLINE = "part => getComputedStyle(part).outlineStyle"
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

OpenPage = Callable[..., Page]


@pytest.fixture
def gate(short_dir: Path) -> Iterator[threading.Event]:
    """As long as it is closed, no reply ends."""
    with echo_engine(short_dir / "echo.sock", piece=20, token_s=0.02) as gate:
        yield gate


@pytest.fixture
def server(
    make_settings: MakeSettings, make_server: Callable[..., WebServer], short_dir: Path, gate: threading.Event
) -> WebServer:
    """A session with many chats whose job ends soon."""
    now = time.time()
    path = make_settings().data_dir / "conversations" / "earlier.sqlite3"
    with contextlib.closing(ConversationStore(path)) as store:
        for number in range(60):
            add_chat(store, f"{number:032x}", f"Chat {number}")
        parent_id = None
        for number in range(4):
            question = Message(CHAT, "user", f"{PILE} question {number}", parent_id=parent_id)
            answer = "\n\n".join(f"Line {number}.{line}" for line in range(20))
            reply = Message(CHAT, "assistant", answer, reasoning=f"{PILE}\nso be it")
            store.add_turn(question, reply, "owner")
            parent_id = reply.id
    grow_old(path, 100)
    return make_server(engine=short_dir / "echo.sock", started_at=now - 3600, ends_at=now + ENDS_SOON_S)


def open_list(page: Page) -> None:
    if not page.locator("#conversation-list").is_visible():
        page.locator("#conversations summary").click()
    expect(page.locator("#conversation-list li").first).to_be_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_is_as_high_as_the_window_whatever_scrolls_in_it(open_page: OpenPage, size: dict[str, int]) -> None:
    page = open_page(f"/chat/{CHAT}", viewport=size)
    expect(page.get_by_text("Line 3.19")).to_be_in_viewport()
    assert page.evaluate(PAGE_PX) == page.evaluate(WINDOW_PX)
    page.locator("#thread").evaluate("thread => thread.scrollTo(0, 0)")
    open_list(page)
    assert page.evaluate(PAGE_PX) == page.evaluate(WINDOW_PX)

    page.goto(f"/chats/{CHAT}")
    page.get_by_role("button", name="Share with people of this session").click()
    page.goto(page.get_by_label("Link", exact=True).input_value())
    expect(page.get_by_text("Line 3.19")).to_be_visible()
    assert page.locator("#main").evaluate("main => main.scrollHeight > 2 * main.clientHeight")
    assert page.evaluate(PAGE_PX) == page.evaluate(WINDOW_PX)


def test_the_box_stands_in_one_line_with_the_thread_where_scrollbars_take_room(server: WebServer) -> None:
    browser = shared_playwright().chromium.launch(
        executable_path=CHROMIUM, args=[*FLAGS], ignore_default_args=["--hide-scrollbars"]
    )
    try:
        page = browser.new_page(base_url=server.url, viewport=DESKTOP)  # type: ignore[arg-type]
        page.request.post("/login", form={"password": PASSWORD})
        for address in ("/", f"/chat/{CHAT}"):
            page.goto(address)
            thread, box = sides(page.locator("#messages")), sides(page.locator("#entry"))
            assert thread == box
        assert page.locator("#thread").evaluate("thread => thread.offsetWidth - thread.clientWidth") > 10
    finally:
        browser.close()


def sides(part: Locator) -> list[float]:
    return list(part.evaluate("part => [part.getBoundingClientRect().left, part.getBoundingClientRect().right]"))


@pytest.mark.parametrize("size", LOW)
def test_in_a_low_window_the_page_scrolls_as_one_and_everything_can_be_reached(
    open_page: OpenPage, size: tuple[int, int]
) -> None:
    width, height = size
    page = open_page(f"/chat/{CHAT}", viewport={"width": width, "height": height}, locale="de-DE")
    expect(page.get_by_text("Diese Sitzung endet in weniger als 15 Minuten")).to_be_visible()
    box = page.get_by_label("Nachricht", exact=True)
    expect(box).to_be_in_viewport(ratio=1)  # It has the focus.
    assert page.locator("#thread").evaluate("thread => thread.scrollHeight === thread.clientHeight")

    page.get_by_text("Line 2.0", exact=True).evaluate("line => line.scrollIntoView()")
    shown = page.evaluate("[...document.querySelectorAll('.prose p')].map(each => each.getBoundingClientRect().bottom)")
    assert len([bottom for bottom in shown if 0 < bottom <= height]) > height // 60
    for part in (page.get_by_text("LLM Hoster"), page.get_by_text("Diese Sitzung endet"), page.locator("#composer")):
        part.first.scroll_into_view_if_needed()
        expect(part.first).to_be_in_viewport()
    open_list(page)
    oldest = page.locator("#conversation-list li").last
    oldest.scroll_into_view_if_needed()
    expect(oldest).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_in_a_low_window_a_reply_keeps_the_box_in_sight_and_leaves_a_reader_of_the_beginning_alone(
    open_page: OpenPage, gate: threading.Event
) -> None:
    page = open_page(f"/chat/{CHAT}", viewport={"width": 844, "height": 390})
    gate.clear()
    box = page.get_by_label("Message", exact=True)
    box.fill("word " * 400)
    box.press("Enter")
    reply = page.locator(".message-assistant").last
    expect(reply.locator(".message-stop")).to_have_count(1)
    for count in (500, 1000):
        page.wait_for_function(WRITTEN, arg=count)
        page.evaluate(FRAMES)
        expect(box).to_be_in_viewport()

    page.evaluate("scrollTo(0, 300)")
    before = page.locator(".message").first.bounding_box()
    page.wait_for_function(WRITTEN, arg=1900)
    gate.set()
    expect(page.locator(".message-stop")).to_have_count(0)
    assert page.evaluate("scrollY") == 300
    assert page.locator(".message").first.bounding_box() == before


@pytest.mark.parametrize("width", [320, 390])
def test_the_panels_of_settings_and_prompts_do_not_scroll_sideways_in_german(open_page: OpenPage, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 844}, locale="de-DE")
    for name, title in [("Einstellungen", "Einstellungen dieses Chats"), ("Prompts", "Prompts")]:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("dialog", name=title)).to_be_visible()
        for summary in page.locator("#panel summary").all():
            summary.click()
        assert page.locator("#panel").evaluate("panel => panel.scrollWidth - panel.clientWidth") == 0
        page.keyboard.press("Escape")


def picture(part: Locator, around_px: int = 6) -> bytes:
    """What is drawn of it and close around it: outlines lie outside."""
    box = part.bounding_box()
    assert box
    clip = {"x": box["x"] - around_px, "y": box["y"] - around_px}
    clip |= {"width": box["width"] + 2 * around_px, "height": box["height"] + 2 * around_px}
    return part.page.screenshot(clip=clip, animations="disabled")  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_focus_choice_and_gauges_are_seen_in_forced_colours(open_page: OpenPage, scheme: str) -> None:
    page = open_page(forced_colors="active", color_scheme=scheme)
    page.route("**/vitals", lambda route: route.fulfill(status=204))  # The gauges stay as they are set here.
    page.request.post("/prompts/", form={"title": "Greeting", "text": "Hello"}, headers={"Origin": page.url.strip("/")})
    box, frame = page.get_by_label("Message", exact=True), page.locator(".composer-box")
    expect(box).to_be_focused()
    assert frame.evaluate(OUTLINE) == "solid"
    box.blur()
    assert frame.evaluate(OUTLINE) == "none"

    box.press("/")
    option = page.get_by_role("option").first
    expect(option).to_have_attribute("aria-selected", "true")
    selected = picture(option, 0)
    page.keyboard.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "false")
    assert picture(option, 0) != selected

    for meter in (page.locator("#context-meter meter"), page.locator("#vitals meter").first):
        assert len({picture(at(meter, share)) for share in (0, 0.5, 1)}) == 3
        empty = picture(at(meter, 0))
        meter.evaluate("meter => { meter.style.visibility = 'hidden'; }")
        assert picture(meter) != empty


def at(meter: Locator, share: float) -> Locator:
    meter.evaluate("(meter, share) => { meter.value = meter.max * share; }", share)
    return meter


def test_the_steps_of_a_start_look_different_in_forced_colours(
    make_server: Callable[..., WebServer], browser: Browser
) -> None:
    states = ("done", "running", "waiting", "failed")
    steps = tuple(Step(status, f"Step {status}", 1.0, status) for status in states)  # type: ignore[arg-type]
    server = make_server(state=ready_state(state="starting", steps=steps))
    with contextlib.closing(browser.new_page(base_url=server.url, forced_colors="active")) as page:
        page.request.post("/login", form={"password": PASSWORD})
        page.goto("/")
        marks = page.locator(".step-mark")
        expect(marks).to_have_count(len(states))
        assert len({picture(mark, 1) for mark in marks.all()}) == len(states)


def test_a_pile_of_accents_draws_over_nothing_beside_it(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{CHAT}")
    page.get_by_text("Thought", exact=True).last.click()
    for text, above in [
        (".reasoning-text", page.locator(".reasoning summary").last),
        (".message-text", page.locator(".message-foot").nth(-2)),
    ]:
        above.scroll_into_view_if_needed()
        with_pile = picture(above, 0)
        page.locator(text).last.evaluate("part => { part.style.visibility = 'hidden'; }")
        assert picture(above, 0) == with_pile, text


def test_each_figure_of_the_job_is_named_on_a_phone(open_page: OpenPage) -> None:
    page = open_page(viewport=PHONE)
    with page.expect_response("**/vitals", timeout=FIGURES_MS):
        pass
    names = page.locator("#vitals").get_by_role("term")
    expect(names).to_have_text(["GPU", "KV cache", "Writing", "Ends", "Also on"])
    assert page.evaluate(PAGE_PX) == page.evaluate(WINDOW_PX)

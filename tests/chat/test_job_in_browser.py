"""The job beside the chat, and a chat that is shared, in a real browser: by keyboard, for axe, on a phone."""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.chat.conversation import ConversationStore
from tests.chat.echo_engine import echo_engine
from tests.chat.history_files import add_chat, grow_old
from tests.page_faults import find_faults
from tests.web_session import PASSWORD, MakeSettings, WebServer

pytestmark = pytest.mark.browser

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
CHAT = "b" * 32
DAY_S = 86400.0
# The figures are looked at a second after the page has opened, then every five.
SOON_MS = 8000

OpenPage = Callable[..., Page]


@pytest.fixture
def server(make_settings: MakeSettings, make_server: Callable[..., WebServer], short_dir: Path) -> Iterator[WebServer]:
    """A busy session the day after another one with many chats."""
    path = make_settings().data_dir / "conversations" / "earlier.sqlite3"
    with contextlib.closing(ConversationStore(path)) as store:
        for number in range(40):
            add_chat(store, f"{number:032x}", f"Chat {number}")
        add_chat(store, CHAT, "How a mutex works", "It **locks**.\n\n```python\nprint('x')\n```\n")
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE conversations SET updated_at = updated_at - ?", (DAY_S,))
    grow_old(path, DAY_S)
    tokens = itertools.count(0, 5000)
    with echo_engine(short_dir / "echo.sock", piece=5, figures=lambda: figures(next(tokens))):
        yield make_server(engine=short_dir / "echo.sock")


@pytest.fixture
def guests_key(server: WebServer) -> str:
    return KeyFolder(server.settings.data_dir).create(ApiKey("key-ada", "Ada", "", created_at=time.time()))


def figures(tokens: int) -> str:
    """More of them each time that somebody looks."""
    values = {
        "num_requests_running": 2, "num_requests_waiting": 0, "generation_tokens_total": tokens,
        "prompt_tokens_total": tokens, "kv_cache_usage_perc": 0.125, "prefix_cache_queries_total": 0,
        "prefix_cache_hits_total": 0, 'request_success_total{engine="0",finished_reason="stop"}': 1,
    }  # fmt: skip
    lines = [
        f"vllm:{name} {value}" if "{" in name else f'vllm:{name}{{engine="0"}} {value}'
        for name, value in values.items()
    ]
    return "\n".join(lines) + "\n"


def layout_of(page: Page) -> object:
    return page.evaluate(
        "[...document.querySelectorAll('.vitals, .vitals dl > div, #messages, #message, .side')]"
        ".map((each) => JSON.stringify(each.getBoundingClientRect()))"
    )


def zone_where_it_is(hour: int) -> str:
    """A time zone for a browser, so that a test says what time it is to its reader. POSIX counts zones westwards."""
    east = (hour - datetime.now(timezone.utc).hour + 11) % 24 - 11
    return f"Etc/GMT{-east:+d}"


@pytest.mark.parametrize(("hour", "ends"), [(10, r"Ends\s+\d\d:\d\d"), (22, r"Ends\s+[A-Z][a-z]{2} 0\d:\d\d")])
def test_the_figures_of_the_job_stand_beside_the_chat_and_move_nothing(
    open_page: OpenPage, hour: int, ends: str
) -> None:
    zone = zone_where_it_is(hour)
    pages = [open_page(f"/?chat={CHAT}", viewport=size, timezone_id=zone) for size in (DESKTOP, PHONE)]
    before = [layout_of(page) for page in pages]
    for page in pages:
        vitals = page.get_by_role("region", name="The job now")
        expect(vitals).to_contain_text("12 %", timeout=SOON_MS)
        expect(vitals).to_contain_text("tokens/s", timeout=SOON_MS)
        expect(vitals.get_by_text("nobody else").first).to_be_in_viewport(ratio=1)
        expect(vitals).to_contain_text(re.compile(ends))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [layout_of(page) for page in pages] == before


def test_a_hidden_tab_asks_for_no_figures(open_page: OpenPage) -> None:
    page = open_page()
    page.clock.install()
    page.reload()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/vitals") else None)
    for pause_ms in (1000, 4000, 5000):
        with page.expect_response("**/vitals"):
            page.clock.run_for(pause_ms)
    show(page, "hidden")
    page.clock.run_for(60_000)
    assert len(asked) == 3
    with page.expect_request("**/vitals", timeout=2500):  # And not only when the five seconds are over.
        show(page, "visible")


def show(page: Page, state: str) -> None:
    """Tell the page what a browser tells a tab that is covered or uncovered."""
    page.evaluate(
        "(state) => { for (const [name, value] of [['visibilityState', state], ['hidden', state === 'hidden']])"
        " Object.defineProperty(document, name, { configurable: true, get: () => value });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        state,
    )


def test_the_details_open_by_keyboard_and_are_accessible_everywhere(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True, viewport=DESKTOP)
    expect(page.locator("#vitals")).to_contain_text("12 %", timeout=SOON_MS)
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        details = page.get_by_role("button", name="Details")
        details.press("Enter")
        box = page.get_by_role("group", name="The job now")
        expect(box).to_contain_text("2 running, 0 waiting")
        expect(box).to_be_in_viewport(ratio=1)
        if size is PHONE:
            assert find_faults(page) == []
        page.keyboard.press("Escape")
        expect(box).to_be_hidden()
        expect(details).to_be_focused()
    details.press("Enter")
    box.get_by_role("link", name="More in the Engine panel").click()
    expect(page.get_by_role("dialog", name="Engine")).to_be_visible()
    expect(box).to_be_hidden()


def test_after_a_launch_the_last_chat_is_one_click_away(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_text("Go on where you were").get_by_role("link", name="How a mutex works").click()
    expect(page.get_by_text("It locks.")).to_be_visible()

    page.get_by_label("Message", exact=True).fill("And a semaphore?")
    page.get_by_label("Message", exact=True).press("Enter")
    expect(page.locator("#messages .message")).to_have_count(4)
    page.get_by_role("link", name="New chat").click()
    expect(page.get_by_label("Message", exact=True)).to_be_visible()
    expect(page.get_by_text("Go on where you were")).to_have_count(0)


def test_a_chat_is_shared_by_keyboard_read_and_taken_back(
    open_page: OpenPage, browser: Browser, server: WebServer, guests_key: str
) -> None:
    page = open_page(f"/?chat={CHAT}")
    expect(page.get_by_text("It locks.")).to_be_visible()
    page.get_by_role("link", name="Rename, pin or delete How a mutex works").press("Enter")
    page.get_by_role("button", name="Share with people of this session").press("Enter")
    link = page.get_by_label("Link", exact=True)
    expect(link).to_be_focused()
    address = link.input_value()
    assert address.startswith(f"{server.url}/chat/shared/")

    context = browser.new_context(bypass_csp=True)
    try:
        guest = context.new_page()
        guest.goto(address)
        guest.get_by_label(re.compile("the key that its owner gave you")).fill(guests_key)
        guest.keyboard.press("Enter")
        guest.wait_for_url(address)
        expect(guest.get_by_role("heading", level=1)).to_have_text("How a mutex works")
        expect(guest.locator("code .hljs-string").first).to_be_visible()  # It has its colours.
        expect(guest.get_by_role("textbox")).to_have_count(0)
        expect(guest.get_by_role("navigation", name="Chats")).to_have_count(0)
        for size in (DESKTOP, PHONE):
            guest.set_viewport_size(size)  # type: ignore[arg-type]
            assert find_faults(guest) == []
            assert guest.evaluate("document.documentElement.scrollWidth <= innerWidth")

        page.get_by_role("button", name="Stop sharing").press("Enter")
        expect(page.get_by_role("button", name="Share with people of this session")).to_be_focused()
        guest.reload()
        expect(guest.get_by_text("is not shared any more")).to_be_visible()
    finally:
        context.close()


def test_sharing_is_accessible_and_needs_no_script(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True)
    expect(page.get_by_text("Go on where you were")).to_be_visible()
    page.goto(f"/chats/{CHAT}")
    assert find_faults(page) == []
    page.get_by_role("button", name="Share with people of this session").click()
    expect(page.get_by_label("Link", exact=True)).to_be_visible()
    assert find_faults(page) == []

    page = open_page(f"/chats/{CHAT}", java_script_enabled=False, viewport=PHONE)
    page.get_by_role("button", name="Stop sharing").click()
    page.get_by_role("button", name="Share with people of this session").click()
    page.goto(page.get_by_label("Link", exact=True).input_value())
    expect(page.get_by_text("It locks.")).to_be_visible()


def test_a_link_on_another_site_opens_the_shared_chat_for_whoever_is_logged_in(
    open_page: OpenPage, server: WebServer
) -> None:
    """Browsers keep our cookie from the first request; 127.0.0.1 and localhost are two sites to them."""
    page = open_page(bypass_csp=True)  # Its first answer, 401, is an error in the console.
    expect(page.get_by_text("Go on where you were")).to_be_visible()
    page.goto(f"/chats/{CHAT}")
    page.get_by_role("button", name="Share with people of this session").click()
    address = page.get_by_label("Link", exact=True).input_value()
    html = f'<!doctype html><title>Mail</title><a href="{address}">Look</a>'
    page.route("http://localhost:*/mail", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"http://localhost:{server.settings.port}/mail")

    page.get_by_role("link", name="Look").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("How a mutex works")
    assert PASSWORD not in page.url


@pytest.mark.parametrize("is_owner", [True, False])
def test_the_first_visit_is_explained_and_nothing_is_empty_without_a_word(
    make_server: Callable[..., WebServer], browser: Browser, is_owner: bool
) -> None:
    server = make_server()
    secret = KeyFolder(server.settings.data_dir).create(ApiKey("key-ada", "Ada", "", created_at=time.time()))
    context = browser.new_context(base_url=server.url, bypass_csp=True)
    try:
        context.request.post("/login", form={"password": PASSWORD if is_owner else secret})
        page = context.new_page()
        page.goto("/")
        mine = "Tiny model runs in a job of your own"
        theirs = "Tiny model runs in a job of whoever gave you your key"
        expect(page.get_by_text(mine if is_owner else theirs)).to_be_visible()
        expect(page.get_by_text("Your chats will stand here.")).to_be_visible()
        page.set_viewport_size(DESKTOP if is_owner else PHONE)  # type: ignore[arg-type]
        assert find_faults(page) == []
    finally:
        context.close()

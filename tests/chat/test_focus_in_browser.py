"""Where the keyboard is after each thing that is done with a message; and what the page keeps to itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.chat.echo_engine import echo_engine
from tests.chat.test_turn_in_browser import ask
from tests.page_faults import find_faults
from tests.web_session import WebServer

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
SIZES = [{"width": 1280, "height": 800}, {"width": 390, "height": 844}]


@pytest.fixture
def gate(short_dir: Path) -> Iterator[threading.Event]:
    """Give what a reply's end waits for; it is open."""
    with echo_engine(short_dir / "echo.sock", piece=5) as gate:
        yield gate
        gate.set()


@pytest.fixture
def server(make_server: Callable[..., WebServer], short_dir: Path, gate: threading.Event) -> WebServer:
    return make_server(engine=short_dir / "echo.sock")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def last_reply(page: Page) -> Locator:
    return page.locator(".message-assistant").last


def test_a_rating_leaves_the_keyboard_on_its_button(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "Apples")
    for name, pressed in [("Good reply", "true"), ("Good reply", "false"), ("Bad reply", "true")]:
        button(page, name).press("Enter")
        expect(button(page, name)).to_have_attribute("aria-pressed", pressed)
        expect(button(page, name)).to_be_focused()


@pytest.mark.parametrize("size", SIZES, ids=["wide", "narrow"])
def test_who_asks_again_goes_on_at_the_new_reply(
    open_page: OpenPage, gate: threading.Event, size: dict[str, int]
) -> None:
    page = open_page(viewport=size)
    ask(page, "Apples")
    gate.clear()
    button(page, "Try again").press("Enter")
    expect(page.locator(".message-stop")).to_have_count(1)
    expect(last_reply(page)).to_be_focused()
    gate.set()
    expect(page.locator(".message-stop")).to_have_count(0)
    expect(last_reply(page)).to_be_focused()
    page.keyboard.press("Tab")
    expect(button(page, "Show the one before")).to_be_focused()

    page.get_by_role("link", name="Edit").press("Enter")
    page.get_by_label("Your message in other words").fill("Pears")
    page.locator(".edit").get_by_role("button", name="Send").press("Enter")
    expect(page.locator(".prose")).to_have_text("Pears")
    expect(page.locator(".message-stop")).to_have_count(0)
    expect(last_reply(page)).to_be_focused()


def test_a_stop_beside_the_box_becomes_the_way_to_send(open_page: OpenPage, gate: threading.Event) -> None:
    page = open_page()
    gate.clear()
    page.get_by_label("Message", exact=True).fill("Apples")
    page.keyboard.press("Enter")
    expect(page.locator("#stop")).to_be_visible()
    page.locator("#stop").press("Enter")
    expect(page.locator(".message-stop")).to_have_count(0)
    expect(page.locator("#send")).to_be_focused()


def test_the_last_of_several_replies_keeps_the_keyboard_on_a_button_that_does_nothing(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True)
    ask(page, "Apples")
    button(page, "Try again").click()
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.locator(".message-stop")).to_have_count(0)

    before = button(page, "Show the one before")
    before.press("Enter")
    expect(page.get_by_text("1 / 2")).to_be_visible()
    expect(before).to_be_focused()
    expect(before).to_have_attribute("aria-disabled", "true")
    assert find_faults(page) == []
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.method))
    page.keyboard.press("Enter")
    button(page, "Show the next one").press("Enter")
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(button(page, "Show the next one")).to_be_focused()
    assert requests.count("POST") == 1


def test_replies_side_by_side_are_reached_and_left_by_the_keyboard(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "Apples")
    button(page, "Try again").click()
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.locator(".message-stop")).to_have_count(0)
    button(page, "Side by side").press("Enter")
    expect(button(page, "Continue with this one")).to_have_count(2)
    expect(button(page, "Continue with this one").last).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()


def test_an_edit_that_is_cancelled_leads_back_to_its_link(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "Apples")
    ask(page, "Pears")
    edit = page.get_by_role("link", name="Edit").first
    box = page.get_by_label("Your message in other words")
    edit.press("Enter")
    expect(box).to_be_focused()
    page.get_by_role("link", name="Cancel").press("Enter")
    expect(box).to_have_count(0)
    expect(edit).to_be_focused()

    page.keyboard.press("Enter")
    expect(box).to_be_focused()
    page.keyboard.type("Plums and ")
    # What lies above the page is closed first.
    button(page, "Details").click()
    box.focus()
    page.keyboard.press("Escape")
    expect(page.locator("#vitals-box")).to_be_hidden()
    expect(box).to_be_focused()
    page.keyboard.press("Escape")
    expect(box).to_have_count(0)
    expect(edit).to_be_focused()
    expect(page.locator(".message-text").first).to_have_text("Apples")


def test_what_nobody_asked_for_fails_without_a_word(open_page: OpenPage, gate: threading.Event) -> None:
    page = open_page(provokes="net::ERR_|htmx:(sendError|afterRequest)")
    ask(page, "Apples")
    gate.clear()
    page.get_by_label("Message", exact=True).fill("Pears")
    page.keyboard.press("Enter")
    expect(page.locator(".prose").last).to_have_text("Pears")
    # As when the network goes away while a reply ends: the page asks for the figures of the next question by itself.
    page.route("**/context", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        gate.set()
    expect(page.locator(".message-stop")).to_have_count(0)
    expect(page.get_by_role("link", name="Edit")).to_have_count(2)
    expect(page.locator("#error")).to_be_empty()

    # What somebody asks for is another thing.
    page.route("**/settings", lambda route: route.abort())
    page.get_by_role("link", name="Settings").click()
    expect(page.locator("#error")).to_contain_text("The session cannot be reached.")

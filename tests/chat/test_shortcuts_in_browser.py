"""The page by keys alone, and a chat on paper."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.chat.test_turn_in_browser import ask
from tests.page_faults import find_faults

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


def test_each_key_of_the_list_does_what_the_list_says(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    ask(page, "Apples")
    page.keyboard.type("a ? n")
    expect(page.get_by_label("Message")).to_have_value("a ? n")
    page.get_by_label("Message").fill("")

    page.keyboard.press("Escape")
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.keyboard.press("k")
    expect(page.locator(".message-user")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator(".message-assistant")).to_be_focused()
    page.keyboard.press("e")
    expect(page.get_by_label("Your message in other words")).to_be_focused()
    page.get_by_role("link", name="Cancel").press("Enter")
    expect(page.get_by_role("link", name="Edit")).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.locator(".message-stop")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.get_by_label("Search your chats")).to_be_focused()
    expect(page.get_by_label("Search your chats")).to_have_value("")
    page.get_by_label("Search your chats").blur()
    page.keyboard.press("m")
    expect(page.get_by_label("Message")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.get_by_text("What would you like to know?")).to_be_visible()


def test_the_list_is_a_key_away_and_single_letters_can_be_switched_off(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "Apples")
    page.keyboard.press("Control+/")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    page.get_by_label("Single letters are shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.locator("#main").focus()
    page.keyboard.press("n")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_hidden()
    page.reload()
    page.keyboard.press("Control+/")
    expect(page.get_by_label("Single letters are shortcuts")).not_to_be_checked()
    page.get_by_label("Single letters are shortcuts").check()
    page.keyboard.press("Escape")
    page.locator("#main").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()


def test_axe_finds_nothing_in_the_list(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True)
    page.get_by_role("link", name="all shortcuts").click()
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    assert find_faults(page) == []


def test_paper_has_what_was_said_and_nothing_to_press(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "Apples")
    page.emulate_media(media="print")
    expect(page.locator(".prose")).to_be_visible()
    for hidden in (".top", ".side", "#composer", ".message-actions >> nth=0"):
        expect(page.locator(hidden)).to_be_hidden()
    # All of it is on the paper, and not the part that fits into the window.
    assert page.evaluate("getComputedStyle(document.getElementById('thread')).overflowY") == "visible"

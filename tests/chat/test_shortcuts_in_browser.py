"""The page by keys alone, and a chat on paper."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from llm_hoster.engine.record.state import write_state
from tests.chat.test_turn_in_browser import ask
from tests.page_faults import find_faults
from tests.web_session import WebServer, starting_state

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
PHONE = {"width": 390, "height": 844}


def the_list(page: Page) -> Locator:
    return page.get_by_role("heading", name="Keyboard shortcuts")


def assert_both_keys_show_the_list(page: Page) -> None:
    """And that its end gives the keyboard back."""
    page.locator("#main").focus()
    for key in ("?", "Control+/"):
        page.keyboard.press(key)
        expect(the_list(page)).to_be_visible()
        page.keyboard.press("Escape")
        expect(the_list(page)).to_be_hidden()
        expect(page.locator("#main")).to_be_focused()


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


def test_the_list_is_there_in_every_window_and_gives_the_keyboard_back(open_page: OpenPage) -> None:
    page = open_page(viewport=PHONE)
    assert_both_keys_show_the_list(page)
    page.get_by_label("Message", exact=True).press("Control+/")
    expect(the_list(page)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    # Who has no such keys goes there as to the content.
    page.reload()
    page.locator(".skip-link").first.focus()
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Keyboard shortcuts")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(the_list(page)).to_be_visible()


def test_the_list_is_there_while_the_engine_starts(open_page: OpenPage, server: WebServer) -> None:
    write_state(server.settings.state_path, starting_state())
    page = open_page()
    expect(page.locator("#start-up")).to_be_visible()
    assert_both_keys_show_the_list(page)


def test_the_list_is_there_for_a_guest_who_reads_a_shared_chat(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "Apples")
    page.get_by_role("link", name="Rename, pin or delete Apples").press("Enter")
    page.get_by_role("button", name="Share with people of this session").click()
    address = urlsplit(page.locator("#share-link").input_value()).path
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Keys", exact=True).click()
    page.locator("#key-name").fill("Ada")
    page.get_by_role("button", name="Make the key").click()
    key = page.locator("#new-key").input_value()

    guest = open_page(address, password=key, viewport=PHONE)
    expect(guest.get_by_role("heading", name="Apples")).to_be_visible()
    assert_both_keys_show_the_list(guest)
    guest.keyboard.press("j")
    expect(guest.locator(".message-assistant")).to_be_focused()
    guest.keyboard.press("Control+/")
    guest.get_by_label("Single letters are shortcuts").uncheck()
    guest.keyboard.press("Escape")
    guest.keyboard.press("k")
    expect(guest.locator(".message-assistant")).to_be_focused()


def test_the_search_is_a_key_away_where_the_list_of_chats_is_folded(open_page: OpenPage) -> None:
    page = open_page(viewport=PHONE)
    expect(page.get_by_label("Search your chats")).to_be_hidden()
    page.get_by_label("Message", exact=True).press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Search your chats")).to_be_focused()
    expect(page.get_by_label("Search your chats")).to_have_value("")


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

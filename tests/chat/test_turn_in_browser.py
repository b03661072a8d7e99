"""What is done with a message in a real browser: nothing reloads, and the reader stays where the reader is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.page_faults import find_faults

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".message-assistant").last).to_contain_text(text.strip("*"))
    expect(page.locator(".message-stop")).to_have_count(0)


def questions(page: Page) -> list[str]:
    return page.locator(".message-text").all_inner_texts()


def test_a_question_is_edited_in_its_place_and_the_former_one_shown_again(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "Apples")
    page.evaluate("window.isSamePage = true")

    page.get_by_role("link", name="Edit").click()
    box = page.get_by_label("Your message in other words")
    expect(box).to_be_focused()
    page.get_by_role("link", name="Cancel").click()
    expect(box).to_have_count(0)
    page.get_by_role("link", name="Edit").click()
    box.fill("Pears")
    page.get_by_role("button", name="Send").first.click()
    expect(page.locator(".message-assistant .prose")).to_have_text("Pears")
    expect(page.locator(".message-stop")).to_have_count(0)
    assert questions(page) == ["Pears"]

    page.get_by_role("button", name="Show the one before").click()
    expect(page.locator(".message-assistant .prose")).to_have_text("Apples")
    expect(page.get_by_text("1 / 2")).to_be_visible()
    # Who switches with the keyboard stays on the buttons.
    page.get_by_role("button", name="Show the next one").press("Enter")
    expect(page.get_by_text("2 / 2")).to_be_visible()
    assert page.evaluate("window.isSamePage")


def test_a_reply_is_tried_again_rated_and_copied_as_it_was_written(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    ask(page, "**Plums**")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.locator(".message-stop")).to_have_count(0)

    page.get_by_role("button", name="Good reply").click()
    expect(page.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "**Plums**"


def test_axe_finds_nothing_in_a_turn(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True)
    ask(page, "Apples")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.locator(".message-stop")).to_have_count(0)
    assert find_faults(page) == []
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Your message in other words")).to_be_visible()
    assert find_faults(page) == []

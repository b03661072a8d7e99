"""What is done with a message in a real browser: nothing reloads, and the reader stays where the reader is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

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


@pytest.fixture
def held() -> list[Route]:
    """The requests of `hold`, which wait until a test lets them go on."""
    return []


def hold(page: Page, held: list[Route]) -> None:
    """Hold the first message that is sent, with a file; the next words and a file come in the meantime."""
    page.route("**/messages", lambda route: held.append(route))
    attach(page, "first.txt")
    box = page.get_by_label("Message", exact=True)
    box.fill("Apples")
    box.press("Enter")
    expect(box).to_have_value("")
    expect(page.locator("#attachments .attachment")).to_have_count(0)
    expect(box).to_be_focused()
    page.keyboard.type("Pears ")
    attach(page, "second.txt")
    assert len(held) == 1


def attach(page: Page, name: str) -> None:
    payload: Any = {"name": name, "mimeType": "", "buffer": b"one two"}
    page.get_by_label("Attach files").set_input_files(payload)
    expect(page.locator("#attachments .attachment").last).to_contain_text(name)
    expect(page.locator(".attachment-reading")).to_have_count(0)


def test_what_is_written_while_a_message_is_sent_is_the_next_one(open_page: OpenPage, held: list[Route]) -> None:
    page = open_page()
    hold(page, held)
    box = page.get_by_label("Message", exact=True)
    box.press("End")
    held[0].continue_()
    expect(page.locator(".message-text")).to_have_text("Apples")
    expect(page.locator(".message-user .attachment")).to_contain_text(["first.txt"])
    expect(page.get_by_role("heading", name="What would you like to know?")).to_have_count(0)
    page.keyboard.type("and plums")
    expect(box).to_have_value("Pears and plums")
    expect(page.locator("#attachments .attachment")).to_contain_text(["second.txt"])


def test_what_could_not_be_sent_comes_back_before_what_was_written_since(
    open_page: OpenPage, held: list[Route]
) -> None:
    page = open_page(provokes="net::ERR_FAILED")
    hold(page, held)
    held[0].abort()
    box = page.get_by_label("Message", exact=True)
    expect(box).to_have_value("Apples\nPears ")
    expect(page.locator("#error")).to_contain_text("The session cannot be reached.")
    expect(page.locator("#attachments .attachment")).to_contain_text(["first.txt", "second.txt"])
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    page.keyboard.type("and plums")
    expect(box).to_have_value("Apples\nPears and plums")


def test_an_example_leaves_what_is_in_the_box(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_label("Message", exact=True).fill("Of my own")
    page.get_by_role("button", name="Explain what a mutex is").click()
    expect(page.locator(".message-text")).to_contain_text("Explain what a mutex is")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Of my own")

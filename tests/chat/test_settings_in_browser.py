"""Settings, presets and prompts in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from llm_hoster.engine.record.state import ServedModel
from tests.chat.echo_engine import echo_engine
from tests.page_faults import find_faults
from tests.web_session import WebServer, ready_state

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def server(make_server: Callable[..., WebServer], short_dir: Path) -> Iterator[WebServer]:
    state = ready_state(model=ServedModel("tiny", "Tiny model", reasoning_parser="qwen3"))
    with echo_engine(short_dir / "echo.sock", piece=5):
        yield make_server(engine=short_dir / "echo.sock", state=state)


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message", exact=True)


def open_settings(page: Page) -> None:
    page.get_by_role("link", name="Settings").press("Enter")
    expect(page.get_by_label("System prompt")).to_be_focused()


def make_prompt(page: Page, title: str, text: str) -> None:
    page.request.post("/prompts/", form={"title": title, "text": text}, headers={"Origin": page.url.rstrip("/")})


def test_settings_are_changed_by_keyboard_alone_before_the_first_message(open_page: OpenPage) -> None:
    page = open_page()
    open_settings(page)
    page.keyboard.type("Be brief.")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Temperature")).to_be_focused()
    page.keyboard.type("warm")
    page.keyboard.press("Enter")
    # What is wrong is told there, and the words stay.
    expect(page.get_by_text("Expected a number from 0 to 2, or nothing; “warm” came.")).to_be_visible()
    expect(page.get_by_label("Temperature")).to_be_focused()
    expect(page.get_by_label("System prompt")).to_have_value("Be brief.")
    page.keyboard.press("Control+A")
    page.keyboard.type("0,5")
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_hidden()
    expect(page.get_by_role("link", name="Settings: 2 changed")).to_be_focused()
    expect(page.get_by_text("from your next question on", exact=True)).to_be_visible()
    expect(page.locator("#announcer")).to_have_text("Saved. The settings hold from your next question on.")
    expect(page.locator("#conversation-list li")).to_have_count(0)

    # The page is that of the chat now: a reload finds it.
    page.reload()
    expect(page.get_by_role("link", name="Settings: 2 changed")).to_be_visible()
    box(page).fill("Hello")
    page.keyboard.press("Enter")
    expect(page.locator(".message-assistant .prose")).to_have_text("Hello")
    expect(page.locator("#conversation-list li")).to_have_count(1)


def test_a_preset_is_kept_used_marked_deleted_and_back(open_page: OpenPage) -> None:
    page = open_page()
    open_settings(page)
    page.get_by_label("Temperature").fill("0.1")
    page.get_by_label("Keep these settings as a preset").fill("Precise")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Kept as the preset “Precise”.")).to_be_visible()
    expect(page.get_by_label("Temperature")).to_have_value("0.1")
    page.get_by_role("button", name="Use Precise in this chat").press("Enter")
    expect(page.get_by_role("button", name="Use Precise in this chat")).to_be_focused()
    expect(page.locator("#settings-link")).to_have_text("Settings: 1 changed")
    mark = page.get_by_role("button", name="For new chats: Precise")
    mark.press("Enter")
    expect(mark).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Reset to defaults").press("Enter")
    expect(page.get_by_text("The defaults hold from your next question on.")).to_be_visible()
    expect(page.locator("#settings-link")).to_have_text("Settings")

    page.get_by_role("button", name="Delete Precise").press("Enter")
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    expect(page.get_by_role("button", name="Use Precise in this chat")).to_have_count(0)
    undo.press("Enter")
    expect(page.get_by_role("button", name="Delete Precise")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Settings")).to_be_visible()
    page.get_by_role("link", name="New chat").click()
    expect(page.get_by_role("link", name="Settings: 1 changed")).to_be_visible()


def test_a_prompt_is_found_filled_in_and_put_where_the_cursor_stands(open_page: OpenPage) -> None:
    page = open_page()
    box(page).fill("Dear model. Thanks.")
    box(page).evaluate("box => box.setSelectionRange(12, 12)")
    page.get_by_role("link", name="Prompts").press("Enter")
    expect(page.get_by_label("Search the prompts")).to_be_focused()
    page.keyboard.type("slurm gpu")
    expect(page.locator("#prompts a.prompt:visible")).to_have_count(1)
    page.keyboard.type(" nothing")
    expect(page.get_by_text("No prompt has these words.")).to_be_visible()
    page.get_by_label("Search the prompts").fill("slurm gpu")
    page.get_by_role("link", name="Write a Slurm script").first.press("Enter")
    expect(page.get_by_label("Command")).to_be_focused()
    page.keyboard.type("python $1 {{x}}")
    expect(page.locator("#prompt-preview")).to_contain_text("for the program `python $1 {{x}}`")
    page.get_by_role("button", name="Put into the message box").press("Enter")
    expect(box(page)).to_be_focused()
    value = box(page).input_value()
    assert value.startswith("Dear model. Write a Slurm batch script for the program `python $1 {{x}}`.")
    assert "{{cores}}" in value and value.endswith("in a comment.Thanks.")
    expect(page.locator(".message")).to_have_count(0)


def test_a_slash_in_the_empty_box_shows_the_prompts(open_page: OpenPage) -> None:
    page = open_page()
    make_prompt(page, "Greeting", "Hello there")
    make_prompt(page, "Greek", "In {{dialect}} Greek")
    box(page).focus()
    page.keyboard.type("/")
    options = page.get_by_role("listbox", name="Prompts").get_by_role("option")
    expect(options.first).to_have_attribute("aria-selected", "true")
    expect(page.locator("#announcer")).to_have_text("Prompts: the arrow keys choose, Enter takes, Escape closes.")
    page.keyboard.type("gree")
    expect(options).to_have_count(2)
    expect(options.first).to_contain_text("Greek")
    page.keyboard.press("ArrowUp")
    expect(box(page)).to_have_attribute("aria-activedescendant", options.nth(1).get_attribute("id") or "")
    # One without variables comes at once.
    page.keyboard.press("Enter")
    expect(box(page)).to_have_value("Hello there")
    expect(options).to_have_count(0)
    expect(page.locator(".message")).to_have_count(0)

    box(page).fill("")
    page.keyboard.type("/greek")
    expect(options).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Dialect")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    expect(box(page)).to_have_value("")

    box(page).click()
    page.keyboard.type("/gre")
    expect(options).to_have_count(2)
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    page.keyboard.type("ek")
    expect(options).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator(".message-text")).to_have_text("/greek")


def test_escape_closes_the_prompts_also_while_newer_ones_are_on_their_way(open_page: OpenPage) -> None:
    page = open_page()
    make_prompt(page, "Greek", "In Greek")
    options = page.get_by_role("listbox", name="Prompts").get_by_role("option")
    box(page).focus()
    page.keyboard.type("/")
    expect(options.first).to_be_visible()
    page.keyboard.press("Backspace")
    expect(options).to_have_count(0)
    held: list[Route] = []
    page.route("**/prompts/menu*", lambda route: held.append(route))
    page.keyboard.type("/gre")
    expect(options).to_have_count(1)
    page.keyboard.press("Escape")
    with page.expect_request_finished(lambda request: request.url == held[0].request.url):
        held[0].continue_()
    page.wait_for_timeout(200)
    expect(options).to_have_count(0)


def test_what_begins_with_a_slash_and_is_no_prompt_is_sent(open_page: OpenPage) -> None:
    page = open_page()
    box(page).focus()
    page.keyboard.type("/scratch/ada")
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator(".message-text")).to_have_text("/scratch/ada")


def test_a_prompt_is_made_of_the_message_changed_deleted_and_back(open_page: OpenPage) -> None:
    page = open_page()
    box(page).fill("Translate {{text}}")
    page.get_by_role("link", name="Prompts").click()
    page.get_by_role("button", name="New prompt").click()
    expect(page.get_by_label("Text", exact=True)).to_have_value("Translate {{text}}")
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Expected a title; nothing came.")).to_be_visible()
    page.get_by_label("Title").fill("Translate")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved: Translate")).to_be_visible()
    page.get_by_role("link", name="Edit Translate").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").press("Enter")
    expect(page.get_by_role("link", name="Edit Translate")).to_be_visible()
    page.get_by_role("link", name="Copy and edit Explain this code").click()
    expect(page.get_by_label("Title")).to_have_value("Explain this code")


def test_settings_and_presets_work_without_scripts(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Temperature").fill("0.9")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Settings: 1 changed").click()
    page.get_by_label("Keep these settings as a preset").fill("Warm")
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Delete Warm").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Use Warm").click()
    page.get_by_role("link", name="Back to the chat").click()
    page.get_by_role("link", name="Prompts").click()
    page.get_by_role("link", name="Review a methods section").first.click()
    expect(page.locator("#prompt-preview")).to_contain_text("as a careful referee would")


def test_axe_finds_nothing_and_nothing_is_wider_than_a_phone(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True)
    page.request.post("/prompts/", form={"title": "x" * 60, "text": "y" * 400})

    def look(what: str) -> None:
        for size in ({"width": 1280, "height": 900}, PHONE):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            assert find_faults(page) == [], what
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what
            assert page.evaluate("document.getElementById('panel').scrollWidth <= innerWidth"), what

    open_settings(page)
    page.get_by_text("More about the choice of words").click()
    page.get_by_text("Answers as JSON, and tools").click()
    page.get_by_label("Tools").fill("[")
    page.get_by_label("Seed").fill("-")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".field-error")).to_have_count(2)
    look("settings with errors")
    page.get_by_label("Tools").fill("")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Keep these settings as a preset").fill("w" * 60)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Kept as")).to_be_visible()
    page.get_by_role("button", name="Use www").click()
    expect(page.get_by_role("button", name="For new chats")).to_be_visible()
    page.get_by_role("button", name="For new chats").click()
    expect(page.get_by_text("for new chats", exact=True)).to_be_visible()
    look("presets")
    page.get_by_role("button", name="Close").click()
    look("the page with settings changed")
    box(page).focus()
    page.keyboard.type("/")
    expect(page.get_by_role("listbox")).to_be_visible()
    look("the menu of prompts")
    box(page).fill("")
    page.get_by_role("link", name="Prompts").click()
    expect(page.get_by_label("Search the prompts")).to_be_visible()
    look("the prompts")
    page.get_by_role("link", name="Review a methods section").first.click()
    expect(page.locator("#prompt-preview")).to_be_visible()
    look("a prompt")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("link", name="Prompts").click()
    page.get_by_role("button", name="New prompt").click()
    expect(page.get_by_label("Title")).to_be_visible()
    look("a new prompt")

"""Chats that are deleted and restored, in a real browser: beside the one that is shown, and the one that is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from llm_hoster.chat.conversation import ConversationStore
from tests.chat.history_files import add_chat, grow_old
from tests.chat.told_engine import Asked, ToldEngine, told_engine
from tests.live_engine import wait_for
from tests.page_faults import find_faults
from tests.web_session import MakeSettings, WebServer

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
A, B = "a" * 32, "b" * 32
TITLES = {A: "Apples", B: "Pears"}
REFUSED = "This chat was deleted. It can be restored under “Deleted chats”."


@pytest.fixture
def engine(short_dir: Path) -> Iterator[ToldEngine]:
    with told_engine(short_dir / "told.sock") as engine:
        yield engine


@pytest.fixture
def server(
    make_settings: MakeSettings, make_server: Callable[..., WebServer], short_dir: Path, engine: ToldEngine
) -> WebServer:
    """A session after one with two chats."""
    path = make_settings().data_dir / "conversations" / "earlier.sqlite3"
    with contextlib.closing(ConversationStore(path)) as store:
        for identity, title in TITLES.items():
            add_chat(store, identity, title, f"An answer about {title}")
    grow_old(path, 100)
    return make_server(engine=short_dir / "told.sock")


def delete(page: Page, title: str) -> None:
    page.get_by_role("link", name=f"Rename, pin or delete {title}").click()
    page.locator("#panel").get_by_role("button", name="Delete", exact=True).click()


def is_hung_up(asked: Asked) -> bool:
    """An engine sees it when it says more; nobody gets that."""
    asked.say("all.")
    return asked.is_hung_up.wait(0.1)


def in_panel(page: Page, button: str) -> None:
    page.get_by_role("link", name="Deleted chats").click()
    page.get_by_role("button", name=button).click()
    expect(page.locator("#panel")).to_be_hidden()


def expect_current(page: Page, title: str) -> None:
    expect(page.locator("#conversation-list a[aria-current]")).to_have_text(title)


@pytest.mark.parametrize("button", ["Restore: Apples", "Delete for good: Apples"])
def test_the_list_knows_which_chat_is_shown_after_the_panel_of_deleted_ones(open_page: OpenPage, button: str) -> None:
    page = open_page(f"/chat/{B}")
    page.on("dialog", lambda dialog: dialog.accept())
    delete(page, "Apples")
    expect_current(page, "Pears")
    in_panel(page, button)
    expect(page.get_by_role("link", name="Apples", exact=True)).to_have_count(1 if "Restore" in button else 0)
    expect_current(page, "Pears")

    delete(page, "Pears")
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    expect(page.get_by_text("An answer about Pears")).to_have_count(0)


def test_a_chat_that_is_deleted_for_good_in_another_tab_of_its_own_leaves_the_page(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{B}")
    page.on("dialog", lambda dialog: dialog.accept())
    delete(page, "Apples")
    page.request.post(f"/chats/{B}/delete")
    in_panel(page, "Delete for good: Pears")
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()


def test_a_message_to_a_chat_deleted_in_another_tab_waits_for_its_return(
    open_page: OpenPage, engine: ToldEngine
) -> None:
    page = open_page(f"/chat/{B}", bypass_csp=True)
    other = page.context.new_page()
    other.goto(f"/chat/{B}")
    delete(other, "Pears")
    expect(other.get_by_role("button", name="Undo")).to_be_visible()

    box = page.get_by_label("Message", exact=True)
    box.fill("Which are sweet?")
    box.press("Enter")
    expect(page.locator("#error")).to_contain_text(REFUSED)
    expect(box).to_have_value("Which are sweet?")
    assert find_faults(page) == []
    assert not engine.was_asked()
    page.locator("#error").get_by_role("button", name="Restore").click()
    expect_current(page, "Pears")
    expect(page.locator("#error")).to_be_empty()
    expect(box).to_be_focused()
    expect(box).to_have_value("Which are sweet?")
    box.press("Enter")
    asked = engine.next_question()
    asked.say("All.")
    asked.end()
    expect(page.locator(".prose").last).to_have_text("All.")


def test_without_scripts_a_deleted_chat_says_so(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{B}", java_script_enabled=False, provokes="404")
    page.request.post(f"/chats/{B}/delete")
    page.get_by_label("Message", exact=True).fill("Which are sweet?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text(REFUSED)).to_be_visible()
    page.goto(f"/chat/{B}")
    expect(page.get_by_text(REFUSED)).to_be_visible()
    page.get_by_role("link", name="To the chat").click()
    expect(page.get_by_role("link", name="Deleted chats")).to_be_visible()


def test_the_model_writes_no_more_in_a_chat_that_is_deleted(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page(f"/chat/{B}")
    page.get_by_label("Message", exact=True).fill("Which are sweet?")
    page.keyboard.press("Enter")
    asked = engine.next_question()
    asked.say("Nearly ")
    expect(page.locator(".prose").last).to_have_text("Nearly")
    delete(page, "Pears")
    wait_for(lambda: is_hung_up(asked), "nobody listens to the engine")
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("link", name="Pears", exact=True).click()
    expect(page.locator(".prose").last).to_have_text("Nearly")
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()

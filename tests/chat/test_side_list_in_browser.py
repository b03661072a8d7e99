"""The list of conversations in a real browser: with script, without it, by keyboard, for axe."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.window import LENGTH
from tests.chat.history_files import add_chat, add_turns, grow_old
from tests.page_faults import find_faults
from tests.web_session import MakeSettings, WebServer

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
CHATS = {"a": "Apples and <b>pears</b>", "b": "How a mutex works", "c": "Slurm script for one GPU"}

LONG_CHAT = "d" * 32

OpenPage = Callable[..., Page]


@pytest.fixture
def server(
    request: pytest.FixtureRequest, make_settings: MakeSettings, make_server: Callable[..., WebServer]
) -> WebServer:
    """A session after one that has ended, with a parameter also after a chat of so many turns."""
    path = make_settings().data_dir / "conversations" / "earlier.sqlite3"
    with contextlib.closing(ConversationStore(path)) as store:
        for letter, title in CHATS.items():
            add_chat(store, letter * 32, title, f"An answer about {title}")
        add_turns(store, LONG_CHAT, getattr(request, "param", 0))
    grow_old(path, 100)
    return make_server()


def chats(page: Page) -> list[str]:
    return page.locator("#conversation-list a:not(.more)").all_inner_texts()


def test_earlier_chats_come_into_the_list_by_themselves_and_open(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("link", name="How a mutex works", exact=True).click()
    expect(page.get_by_text("An answer about How a mutex works")).to_be_visible()
    expect(page.get_by_role("list", name="Today").get_by_role("listitem")).to_have_count(3)


def test_a_chat_is_searched_for_by_its_words_which_are_in_no_address(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("#conversation-list li")).to_have_count(3)
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.get_by_label("Search your chats").press_sequentially("Slu", delay=20)

    expect(page.get_by_text("1 chat found")).to_be_visible()
    expect(page.locator("#conversation-list mark").first).to_have_text("Slu")
    page.get_by_label("Search your chats").fill("")
    expect(page.get_by_role("list", name="Today").get_by_role("listitem")).to_have_count(3)
    assert addresses and not [address for address in addresses if "Slu" in address]


def test_a_chat_is_renamed_and_deleted_and_back_by_keyboard_alone(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{'a' * 32}")
    page.get_by_role("link", name="Rename, pin or delete How a mutex works").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("Locks")
    page.keyboard.press("Tab")
    page.keyboard.type("Lessons")
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_hidden()
    expect(page.get_by_role("link", name="Locks", exact=True)).to_be_visible()
    expect(page.get_by_role("list", name="Folders").get_by_role("link")).to_have_text(["All", "Lessons"])

    page.get_by_role("link", name="Rename, pin or delete Locks").press("Enter")
    page.get_by_role("button", name="Delete").press("Enter")
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    assert "Locks" not in chats(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Locks", exact=True)).to_be_visible()
    page.get_by_role("link", name="Lessons").click()
    expect(page.locator("#conversation-list a:not(.more)")).to_have_text(["Locks"])


def test_the_chat_that_is_shown_can_be_deleted_and_pinned_ones_stand_first(open_page: OpenPage) -> None:
    page = open_page(f"/chat/{'c' * 32}")
    page.get_by_role("link", name="Rename, pin or delete Apples").click()
    page.get_by_role("button", name="Pin to the top").click()
    expect(page.get_by_role("list", name="Pinned").get_by_role("listitem")).to_have_count(1)
    page.get_by_role("link", name="Rename, pin or delete Slurm").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    assert chats(page) == [CHATS["a"], CHATS["b"]]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#conversation-list li")).to_have_count(3)


def test_the_same_can_be_done_on_pages_of_their_own(open_page: OpenPage) -> None:
    page = open_page(f"/chats/{'b' * 32}")
    page.get_by_label("Title").fill("Locks")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("link", name="Locks", exact=True)).to_be_visible()
    page.goto("/chats/")
    page.get_by_role("link", name="Rename, pin or delete Apples").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#conversation-list li")).to_have_count(3)


def test_all_of_it_works_without_scripts(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.get_by_role("link", name="Rename, pin or delete How a mutex works").click()
    page.get_by_label("Title").fill("Locks")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("link", name="Locks", exact=True)).to_be_visible()
    page.get_by_label("Search your chats").fill("apples")
    page.get_by_label("Search your chats").press("Enter")
    expect(page.get_by_text("1 chat found")).to_be_visible()
    page.get_by_role("link", name="Apples").click()
    page.get_by_role("link", name="Rename, pin or delete Apples").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("An answer about Apples")).to_be_visible()


def test_the_list_and_what_is_done_with_it_is_accessible(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True)
    expect(page.locator("#conversation-list li")).to_have_count(3)
    assert find_faults(page) == []
    page.get_by_role("link", name="Rename, pin or delete Apples").click()
    expect(page.get_by_label("Title")).to_be_visible()
    assert find_faults(page) == []
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    assert find_faults(page) == []
    page.get_by_label("Search your chats").fill("mutex")
    expect(page.get_by_text("1 chat found")).to_be_visible()
    assert find_faults(page) == []
    page.get_by_role("link", name="Deleted chats").click()
    expect(page.get_by_role("button", name="Restore: Apples")).to_be_visible()
    assert find_faults(page) == []
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for path in ("/chats/", "/chats/deleted", f"/chats/{'b' * 32}"):
        page.goto(path)
        assert find_faults(page) == [], path


@pytest.mark.parametrize("server", [2 * LENGTH], indirect=True)
def test_earlier_messages_come_above_and_the_reader_stays(open_page: OpenPage, server: WebServer) -> None:
    page = open_page(f"/chat/{LONG_CHAT}")
    first = page.locator("#messages .message-text").first
    text = first.inner_text()
    page.get_by_role("link", name="Show earlier messages").click()
    expect(page.locator("#messages > li.message")).to_have_count(2 * LENGTH)
    expect(page.get_by_text(text, exact=True)).to_be_in_viewport()
    expect(page.locator("#earlier")).to_be_focused()

"""The whole way in a real browser: form, card, Connect, start-up, chat, Stop, new chat, and what programs need."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.end_to_end.browser import open_context
from tests.end_to_end.cluster_portal import ClusterPortal
from tests.end_to_end.launched_session import LaunchedSession, wait_for
from tests.end_to_end.portal_pages import connect, find_card
from tests.end_to_end.tiny_reply import GREETING

UNDER_BOTH_PATHS = pytest.mark.parametrize("chat", ["rnode", "node"], indirect=True)


@pytest.fixture
def chat(page: Page, main: LaunchedSession, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The chat page of the running session, opened by the card's Connect button; no fault in the console at the end.

    With the parameter "node" it is the same session under the other path, entered with its secret.
    """
    opened = connect(page, main) if getattr(request, "param", "rnode") == "rnode" else enter_under_node(page, main)
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(describe(message)) if message.type == "error" else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    yield opened
    opened.close()
    assert faults == []


def describe(message: ConsoleMessage) -> str:
    return f"{message.text} ({message.location})"


def enter_under_node(page: Page, session: LaunchedSession) -> Page:
    """Open the session at /node in a window of its own; the cookie of an earlier test may do for the login."""
    opened = page.context.new_page()
    answer = opened.goto(f"/node/{session.host}/{session.port}/")
    assert answer is not None
    if answer.status == 401:
        opened.get_by_label("secret of this session").fill(session.secret)
        opened.get_by_role("button", name="Log in").click()
    expect(opened).to_have_url(re.compile(rf"/node/{session.host}/{session.port}/$"))
    opened.get_by_label("Message").wait_for()
    return opened


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def wait_for_words(page: Page) -> None:
    """Wait until a running reply shows some text."""
    expect(page.locator(".message-assistant .prose").filter(has_text=re.compile(r"\w")).first).to_be_visible()


def test_the_card_opens_the_chat_under_rnode_and_the_model_answers_word_for_word(
    main: LaunchedSession, chat: Page
) -> None:
    expect(chat).to_have_url(re.compile(rf"^http://localhost:8080/rnode/{main.host}/{main.port}/$"))
    ask(chat, "Say hello.")
    expect(chat.locator(".message-assistant .prose")).to_have_text(GREETING)
    expect(chat.locator(".message-user")).to_contain_text("Say hello.")


def test_the_same_session_opens_under_node_with_its_secret(
    main: LaunchedSession, browser: Browser, portal: ClusterPortal
) -> None:
    context = open_context(browser, portal.url, "alice", portal.passwords["alice"])
    page = context.new_page()
    answer = page.goto(f"/node/{main.host}/{main.port}/")
    assert answer is not None and answer.status == 401
    page.get_by_label("secret of this session").fill(main.secret)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(rf"/node/{main.host}/{main.port}/$"))
    ask(page, "Say hello.")
    expect(page.locator(".message-assistant .prose")).to_have_text(GREETING)
    cookies = [cookie for cookie in context.cookies() if cookie["name"].startswith("llm_hoster")]
    assert [(cookie["path"], cookie["httpOnly"]) for cookie in cookies] == [(f"/node/{main.host}/{main.port}", True)]
    context.close()


def test_a_reply_with_html_in_it_shows_as_text_and_runs_nothing(chat: Page) -> None:
    ask(chat, "Show me markdown.")
    prose = chat.locator(".message-assistant .prose")
    expect(prose.locator("li")).to_have_text(["one", "two"])
    assert prose.locator("img").count() == 0


def test_thinking_is_shown_apart_from_the_answer(chat: Page) -> None:
    ask(chat, "Think, then answer.")
    expect(chat.locator(".message-assistant .prose")).to_have_text("Done.")
    chat.locator(".reasoning summary").click()
    expect(chat.locator(".reasoning-text")).to_have_text("I should answer with one word.")


@UNDER_BOTH_PATHS
def test_stop_ends_the_engines_work_and_keeps_what_came(main: LaunchedSession, chat: Page) -> None:
    ask(chat, "Write for a long time.")
    wait_for_words(chat)
    assert main.count_running_requests() == 1
    chat.get_by_role("button", name="Stop").first.click()
    expect(chat.locator(".message-assistant")).to_contain_text("Stopped")
    wait_for("the request to end", lambda: main.count_running_requests() == 0, 10, main.explain)
    assert len(chat.locator(".message-assistant .prose").inner_text()) > 0


@UNDER_BOTH_PATHS
def test_a_reload_keeps_a_running_reply_going(main: LaunchedSession, chat: Page) -> None:
    ask(chat, "Write for a long time.")
    wait_for_words(chat)
    chat.reload()
    wait_for_words(chat)
    assert main.count_running_requests() == 1
    chat.get_by_role("button", name="Stop").first.click()
    expect(chat.locator(".message-assistant")).to_contain_text("Stopped")
    wait_for("the request to end", lambda: main.count_running_requests() == 0, 10, main.explain)


def test_a_new_chat_is_empty_and_the_old_one_can_be_opened_again(chat: Page) -> None:
    ask(chat, "Count to twenty.")
    expect(chat.locator(".message-assistant .prose")).to_contain_text("twenty")
    chat.get_by_role("link", name="New chat").click()
    expect(chat.locator(".message")).to_have_count(0)
    chat.get_by_role("link", name="Count to twenty.").first.click()
    expect(chat.locator(".message-assistant .prose")).to_contain_text("one two three")


def test_address_key_and_model_are_copied_from_the_page(main: LaunchedSession, chat: Page) -> None:
    chat.get_by_role("link", name="Connect", exact=True).click()
    expect(chat.get_by_role("dialog")).to_be_visible()
    for label, value in (
        ("Copy Base URL", main.endpoint["base_url"]),
        ("Copy API key", main.endpoint["api_key"]),
        ("Copy Model", "tiny"),
    ):
        chat.get_by_role("button", name=label).click()
        chat.wait_for_function("async value => await navigator.clipboard.readText() === value", arg=value)


def test_the_card_says_how_scripts_reach_the_api_and_shows_no_key(page: Page, main: LaunchedSession) -> None:
    card = find_card(page, main)
    expect(card.get_by_role("textbox", name="Base URL")).to_have_value(main.endpoint["base_url"])
    expect(card.get_by_role("textbox", name="Model", exact=True)).to_have_value("tiny")
    expect(card.get_by_role("textbox", name="File with URL")).to_have_value(main.card["endpoint_file"])
    for label, value in (("Base URL", main.endpoint["base_url"]), ("File with URL", main.card["endpoint_file"])):
        button = card.get_by_role("button", name=f"Copy {label}")
        button.click()
        expect(button).to_have_text("Copied")
        page.wait_for_function("async value => await navigator.clipboard.readText() === value", arg=value)
    assert main.endpoint["api_key"] not in page.content()


def test_a_stranger_behind_the_portal_sees_the_login_page_only(
    main: LaunchedSession, browser: Browser, portal: ClusterPortal
) -> None:
    context = open_context(browser, portal.url, "bob", portal.passwords["bob"])
    page = context.new_page()
    page.goto(f"/rnode/{main.host}/{main.port}/")
    expect(page.get_by_role("heading", name="This session is private")).to_be_visible()
    page.get_by_label("secret of this session").fill("x" * 32)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("This is neither the secret of this session nor a valid key.")).to_be_visible()
    assert context.cookies() == []
    context.close()

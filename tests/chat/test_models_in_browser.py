"""The choice of the model that answers, and two replies beside each other, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from llm_hoster.engine.record.state import write_state
from tests.chat.echo_engine import echo_engine
from tests.page_faults import find_faults
from tests.web_session import WebServer, ready_state

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


@pytest.fixture
def gate(short_dir: Path) -> Iterator[threading.Event]:
    with echo_engine(short_dir / "echo.sock", piece=5, names_model=True) as gate:
        yield gate
        gate.set()


@pytest.fixture
def server(make_server: Callable[..., WebServer], short_dir: Path, gate: threading.Event) -> WebServer:
    """Make a session that serves a model and an adapter of it."""
    return make_server(engine=short_dir / "echo.sock", state=ready_state(adapters=("sql-lora",)))


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".message-text").last).to_have_text(text)


def replies(page: Page) -> list[str]:
    expect(page.locator(".message-stop")).to_have_count(0)
    return page.locator(".message-assistant .prose").all_inner_texts()


def test_a_model_is_chosen_for_a_conversation_and_each_reply_says_which_wrote_it(open_page: OpenPage) -> None:
    page = open_page()
    model = page.get_by_label("Model", exact=True)
    assert model.locator("option").all_inner_texts() == ["Tiny model", "sql-lora"]
    ask(page, "Apples")
    expect(page.get_by_text("tiny says: Apples")).to_be_visible()
    expect(page.locator(".message-facts")).not_to_contain_text("Tiny model")

    with page.expect_response(lambda response: response.url.endswith("/model")):
        model.select_option("sql-lora")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("sql-lora says: Apples")).to_be_visible()
    expect(page.locator(".message-facts")).to_contain_text("sql-lora")
    page.reload()
    expect(model).to_have_value("sql-lora")
    ask(page, "Pears")
    assert replies(page) == ["sql-lora says: Apples", "sql-lora says: Pears"]


def test_an_adapter_that_is_away_is_told_and_the_base_model_answers(open_page: OpenPage, server: WebServer) -> None:
    page = open_page()
    page.get_by_label("Model", exact=True).select_option("sql-lora")
    ask(page, "Apples")
    assert replies(page) == ["sql-lora says: Apples"]
    write_state(server.settings.state_path, ready_state(adapters=()))
    ask(page, "Pears")
    expect(page.get_by_text("sql-lora is not served now: Tiny model has answered.")).to_be_visible()
    assert replies(page) == ["sql-lora says: Apples", "tiny says: Pears"]
    page.reload()
    expect(page.get_by_text("sql-lora is not served now: Tiny model answers.")).to_be_visible()
    expect(page.get_by_label("Model", exact=True)).to_have_count(0)


def test_two_replies_are_written_beside_each_other_and_one_is_chosen(
    open_page: OpenPage, gate: threading.Event
) -> None:
    page = open_page()
    page.evaluate("window.isSamePage = true")
    page.get_by_label("Compare with").select_option("sql-lora")
    gate.clear()
    ask(page, "Apples")
    expect(page.get_by_text("tiny says: Apples")).to_be_visible()
    expect(page.get_by_text("sql-lora says: Apples")).to_be_visible()
    boxes = [page.locator(".message-assistant").nth(number).bounding_box() for number in range(2)]
    assert boxes[0] and boxes[1] and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert boxes[0]["y"] == boxes[1]["y"]
    gate.set()
    assert replies(page) == ["tiny says: Apples", "sql-lora says: Apples"]
    assert page.locator(".message-model").all_inner_texts() == ["Tiny model", "sql-lora"]
    # Nobody has chosen yet: so it is still there for who comes back.
    page.reload()
    assert replies(page) == ["tiny says: Apples", "sql-lora says: Apples"]

    page.get_by_role("button", name="Continue with this one").nth(1).click()
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.get_by_label("Message")).to_be_focused()
    assert replies(page) == ["sql-lora says: Apples"]
    page.get_by_role("button", name="Side by side").click()
    expect(page.get_by_role("button", name="Continue with this one")).to_have_count(2)
    page.get_by_role("button", name="Continue with this one").first.click()
    expect(page.get_by_text("1 / 2")).to_be_visible()
    ask(page, "Pears")
    assert replies(page) == ["tiny says: Apples", "tiny says: Pears"]


def test_each_of_two_replies_can_be_stopped_and_both_at_once(open_page: OpenPage, gate: threading.Event) -> None:
    page = open_page()
    page.get_by_label("Compare with").select_option("tiny")
    gate.clear()
    ask(page, "Apples")
    expect(page.get_by_text("tiny says: Apples")).to_have_count(2)
    page.locator(".message-stop > button").nth(1).click()
    expect(page.get_by_text("Stopped", exact=True)).to_have_count(1)
    expect(page.locator(".message-stop")).to_have_count(1)
    gate.set()
    expect(page.get_by_role("button", name="Continue with this one")).to_have_count(2)
    page.get_by_role("button", name="Continue with this one").first.click()
    expect(page.get_by_text("1 / 2")).to_be_visible()

    gate.clear()
    ask(page, "Pears")
    expect(page.get_by_text("tiny says: Pears")).to_have_count(2)
    page.locator("#stop").click()
    expect(page.get_by_text("Stopped", exact=True)).to_have_count(2)
    expect(page.locator("#send")).to_be_visible()


def test_what_is_not_chosen_is_not_written_on(open_page: OpenPage, gate: threading.Event) -> None:
    page = open_page()
    page.get_by_label("Compare with").select_option("sql-lora")
    gate.clear()
    ask(page, "Apples")
    expect(page.get_by_text("says: Apples")).to_have_count(2)
    page.locator(".message-stop > button").first.click()
    page.get_by_role("button", name="Continue with this one").click()
    expect(page.get_by_text("1 / 2")).to_be_visible()
    page.get_by_role("button", name="Show the next one").click()
    expect(page.locator(".message-facts")).to_contain_text("Stopped")


def test_a_phone_has_them_below_each_other(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 360, "height": 740})
    page.get_by_label("Compare with").select_option("sql-lora")
    ask(page, "Apples and pears " * 20)
    assert len(replies(page)) == 2
    boxes = [page.locator(".message-assistant").nth(number).bounding_box() for number in range(2)]
    assert boxes[0] and boxes[1] and boxes[0]["x"] == boxes[1]["x"]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_axe_finds_nothing_in_a_comparison(open_page: OpenPage, gate: threading.Event) -> None:
    page = open_page(bypass_csp=True)
    assert find_faults(page) == []
    page.get_by_label("Compare with").select_option("sql-lora")
    gate.clear()
    ask(page, "Apples")
    expect(page.get_by_text("says: Apples")).to_have_count(2)
    assert find_faults(page) == []
    gate.set()
    assert len(replies(page)) == 2
    assert find_faults(page) == []
    page.get_by_role("button", name="Continue with this one").first.click()
    expect(page.get_by_text("1 / 2")).to_be_visible()
    assert find_faults(page) == []

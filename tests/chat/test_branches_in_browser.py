"""Branches of a chat in a real browser: one that is left while the model writes on it, and one that nobody chose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.chat.told_engine import Asked, ToldEngine, told_engine
from tests.live_engine import wait_for
from tests.page_faults import find_faults
from tests.web_session import WebServer, ready_state

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
ELSEWHERE = "The model is writing on another branch of this chat."
SCROLLED = "document.getElementById('thread').scrollTop"
FURTHEST = "(({ scrollHeight, clientHeight }) => scrollHeight - clientHeight)(document.getElementById('thread'))"


@pytest.fixture
def engine(short_dir: Path) -> Iterator[ToldEngine]:
    with told_engine(short_dir / "told.sock") as engine:
        yield engine


@pytest.fixture
def server(make_server: Callable[..., WebServer], short_dir: Path, engine: ToldEngine) -> WebServer:
    """Make a session that serves a model and an adapter of it."""
    return make_server(engine=short_dir / "told.sock", state=ready_state(adapters=("sql-lora",)))


def send(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def ask(page: Page, engine: ToldEngine, text: str, said: str) -> None:
    """Ask, and have a whole answer."""
    send(page, text)
    asked = engine.next_question()
    asked.say(said)
    asked.end()
    expect(page.locator(".message-assistant .prose").last).to_contain_text(said.strip()[-10:])
    expect(page.locator(".message-stop")).to_have_count(0)


def compare(page: Page, engine: ToldEngine, text: str) -> tuple[Asked, Asked]:
    """Ask two models, of which the first is the base model."""
    page.get_by_label("Compare with").select_option("sql-lora")
    send(page, text)
    one, other = engine.next_question(), engine.next_question()
    return (one, other) if one.body["model"] == "tiny" else (other, one)


def edit(page: Page, text: str) -> None:
    page.get_by_role("link", name="Edit").first.click()
    page.get_by_label("Your message in other words").fill(text)
    page.locator(".edit").get_by_role("button", name="Send").click()


def wait_for_hang_up(asked: Asked) -> None:
    """An engine sees it when it says more."""

    def is_hung_up() -> bool:
        asked.say("more ")
        return asked.is_hung_up.wait(0.1)

    wait_for(is_hung_up, "nobody listens to the engine")


def leave_running(page: Page, engine: ToldEngine) -> Asked:
    """Edit the only question, and go back to the former one while the new reply is written."""
    edit(page, "Pears")
    asked = engine.next_question()
    asked.say("They are ")
    expect(page.locator(".prose")).to_have_text(["They are"])
    page.get_by_role("button", name="Show the one before").click()
    expect(page.locator(".message-text")).to_have_text(["Apples"])
    return asked


def test_a_reply_of_another_branch_is_told_and_can_be_stopped_there(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page(bypass_csp=True)
    ask(page, engine, "Apples", "They are green.")
    asked = leave_running(page, engine)
    expect(page.get_by_text(ELSEWHERE)).to_be_visible()
    expect(page.locator("#send")).to_be_hidden()
    assert find_faults(page) == []

    page.locator("#stop").click()
    wait_for_hang_up(asked)
    expect(page.get_by_text(ELSEWHERE)).to_have_count(0)
    expect(page.locator("#send")).to_be_visible()
    ask(page, engine, "And plums?", "They are blue.")
    expect(page.locator(".message-text")).to_have_text(["Apples", "And plums?"])


def test_it_is_shown_on_request_and_its_end_is_seen_from_elsewhere(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page()
    ask(page, engine, "Apples", "They are green.")
    asked = leave_running(page, engine)
    page.get_by_role("button", name="Show it").click()
    expect(page.locator(".prose")).to_have_text(["They are"])
    expect(page.get_by_text(ELSEWHERE)).to_have_count(0)
    asked.say("yellow.")
    expect(page.locator(".prose")).to_have_text(["They are yellow."])

    page.get_by_role("button", name="Show the one before").click()
    expect(page.get_by_text(ELSEWHERE)).to_be_visible()
    page.reload()
    expect(page.get_by_text(ELSEWHERE)).to_be_visible()
    asked.end()
    expect(page.get_by_text(ELSEWHERE)).to_have_count(0)
    expect(page.locator("#send")).to_be_visible()


def test_a_window_that_has_not_heard_of_it_gets_the_way_to_stop_it(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page(provokes="409|Response Status Error")
    ask(page, engine, "Apples", "They are green.")
    other = page.context.new_page()
    other.goto(page.url)
    leave_running(page, engine)

    send(other, "And plums?")
    expect(other.get_by_text(ELSEWHERE)).to_be_visible()
    expect(other.get_by_label("Message", exact=True)).to_have_value("And plums?")
    other.locator("#stop").click()
    for each in (page, other):
        expect(each.get_by_text(ELSEWHERE)).to_have_count(0)


def test_two_replies_of_another_branch_are_shown_and_stopped_together(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page()
    ask(page, engine, "Apples", "They are green.")
    leave_running(page, engine).end()
    expect(page.get_by_text(ELSEWHERE)).to_have_count(0)
    page.get_by_role("button", name="Show the next one").click()
    expect(page.locator(".message-text")).to_have_text(["Pears"])
    both = compare(page, engine, "And plums?")
    for asked in both:
        asked.say("They are blue.")
    expect(page.locator(".message-stop")).to_have_count(2)
    page.get_by_role("button", name="Show the one before").click()
    expect(page.get_by_text(ELSEWHERE)).to_be_visible()
    page.get_by_role("button", name="Show it").click()
    expect(page.locator("#choices .prose")).to_have_text(["They are blue."] * 2)

    page.get_by_role("button", name="Show the one before").click()
    expect(page.locator("#elsewhere > span")).to_have_count(2)
    both[0].end()
    expect(page.locator("#elsewhere > span")).to_have_count(1)
    expect(page.get_by_text(ELSEWHERE)).to_be_visible()
    page.locator("#stop").click()
    wait_for_hang_up(both[1])
    expect(page.get_by_text(ELSEWHERE)).to_have_count(0)


def test_without_scripts_it_is_told_shown_and_stopped(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page()
    ask(page, engine, "Apples", "They are green.")
    asked = leave_running(page, engine)
    plain = page.context.browser.new_context(java_script_enabled=False, storage_state=page.context.storage_state())  # type: ignore[union-attr]
    other = plain.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Show it").click()
    expect(other.locator(".message-text")).to_have_text(["Pears"])
    other.get_by_role("button", name="Stop").click()
    wait_for_hang_up(asked)
    plain.close()


@pytest.mark.parametrize("way", ["send", "edit"])
def test_a_reply_that_is_not_shown_leaves_the_page_alone(open_page: OpenPage, engine: ToldEngine, way: str) -> None:
    page = open_page(viewport={"width": 1000, "height": 500})
    ask(page, engine, "Apples", "They are green.\n\n" * 60)
    edit(page, "Pears")
    asked = engine.next_question()
    if way == "send":  # Its words come with the answer to Send, and not over an EventSource.
        asked.say("Well.")
        expect(page.locator(".prose")).to_have_text(["Well."])
        asked.end()
        expect(page.locator(".message-stop")).to_have_count(0)
        send(page, "More")
        asked = engine.next_question()
    asked.say("New ")
    expect(page.locator(".prose").last).to_have_text("New")
    page.get_by_role("button", name="Show the one before").click()
    expect(page.locator(".message-text")).to_have_text(["Apples"])
    page.wait_for_timeout(300)
    before = page.evaluate(SCROLLED)
    page.evaluate("document.getElementById('announcer').textContent = ''")
    for _ in range(5):
        asked.say("words and more words\n\n")
        page.wait_for_timeout(50)
    assert page.evaluate(SCROLLED) == before
    assert page.locator("#announcer").inner_text() == ""
    asked.end()
    expect(page.get_by_text(ELSEWHERE)).to_have_count(0)
    # Without the note the thread is higher: its end is reached sooner.
    assert page.evaluate(SCROLLED) == min(before, page.evaluate(FURTHEST))


def test_a_choice_is_not_offered_any_more_after_the_next_question(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page(bypass_csp=True)
    for asked, said in zip(compare(page, engine, "Apples"), ("They are green.", "They are red."), strict=True):
        asked.say(said)
        asked.end()
    choose = page.get_by_role("button", name="Continue with this one")
    expect(choose).to_have_count(2)
    page.get_by_label("Compare with").select_option("")
    send(page, "Pears")
    asked = engine.next_question()
    asked.say("They are yellow.")
    expect(choose).to_have_count(0)
    asked.end()
    expect(page.locator(".message-stop")).to_have_count(0)
    shown = ["They are green.", "They are yellow."]
    expect(page.locator(".prose")).to_have_text(shown)
    # The other one stands beside it, and what stands there works.
    expect(page.get_by_text("1 / 2")).to_be_visible()
    assert find_faults(page) == []
    page.reload()
    expect(page.locator(".prose")).to_have_text(shown)


def test_a_branch_comes_back_with_the_reply_that_has_not_failed(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page()
    good, bad = compare(page, engine, "Apples")
    good.say("They are green.")
    good.end()
    bad.die()
    expect(page.get_by_role("button", name="Continue with this one")).to_have_count(2)
    page.get_by_label("Compare with").select_option("")
    edit(page, "Pears")
    asked = engine.next_question()
    asked.say("They are yellow.")
    expect(page.locator(".prose")).to_have_text(["They are yellow."])
    asked.end()
    expect(page.locator(".message-stop")).to_have_count(0)
    page.get_by_role("button", name="Show the one before").first.click()
    expect(page.locator(".prose")).to_have_text(["They are green."])

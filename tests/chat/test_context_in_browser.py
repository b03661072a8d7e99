"""A chat that grows too long, in a real browser: the meter, the warning, the three choices, and back again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.chat.limited_engine import LimitedEngine, limited_engine
from tests.page_faults import find_faults
from tests.web_session import WebServer

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
LIMIT = 400
WORDS = "word " * 40
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def engine(short_dir: Path) -> Iterator[LimitedEngine]:
    with limited_engine(short_dir / "limited.sock", LIMIT) as engine:
        yield engine


@pytest.fixture
def server(make_server: Callable[..., WebServer], short_dir: Path, engine: LimitedEngine) -> WebServer:
    return make_server(engine=short_dir / "limited.sock")


def ask(page: Page, text: str) -> None:
    before = page.locator(".message-assistant").count()
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".message-assistant")).to_have_count(before + 1)
    expect(page.locator(".message-stop")).to_have_count(0)


def fill_up(page: Page) -> None:
    """Ask past the page, each to the end of its reply."""
    chat = f"/chat/{'c' * 32}"
    headers = {"Accept": "text/event-stream"}
    for number in range(4):
        page.request.post(f"{chat}/messages", form={"message": f"q{number} {WORDS}"}, headers=headers)
    page.goto(chat)
    expect(meter(page)).to_have_text(f"272 of {LIMIT} tokens")


def choice(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def meter(page: Page) -> Locator:
    return page.locator(".context-tokens")


def test_the_meter_follows_typing_and_each_reply(open_page: OpenPage, engine: LimitedEngine) -> None:
    page = open_page()
    expect(meter(page)).to_have_text(f"0 of {LIMIT} tokens")
    page.get_by_label("Message", exact=True).fill("x" * 80)
    expect(meter(page)).to_have_text(f"about 20 of {LIMIT} tokens")
    page.evaluate("""() => {
      const list = document.getElementById("attachments") ?? document.createElement("ul");
      list.id = "attachments";
      document.getElementById("composer").append(list);
    }""")
    ask(page, "one two three")
    expect(meter(page)).to_have_text(f"10 of {LIMIT} tokens")
    # A file beside the message.
    page.evaluate("""document.getElementById("attachments").innerHTML = '<li data-tokens="300">A file</li>'""")
    expect(meter(page)).to_have_text(f"about 310 of {LIMIT} tokens")
    expect(choice(page, "Leave out the oldest messages")).to_be_visible()
    page.evaluate("document.querySelector('[data-tokens]').remove()")
    page.get_by_label("Message", exact=True).fill("x")
    expect(meter(page)).to_have_text(f"about 11 of {LIMIT} tokens")
    page.get_by_label("Message", exact=True).fill("")
    expect(meter(page)).to_have_text(f"10 of {LIMIT} tokens")
    # For the limit, once: nothing is asked for each letter.
    assert len(engine.counted) == 1


def test_a_question_that_does_not_fit_stays_in_the_box_until_there_is_room(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True)  # A refusal is an error in the browser's console.
    fill_up(page)
    expect(page.get_by_text("soon be longer")).to_be_visible()
    question = "big " * 150
    page.get_by_label("Message", exact=True).fill(question)
    expect(page.get_by_text("no room for a reply")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="This does not fit")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_have_value(question)

    choice(page, "Leave out the oldest messages").click()
    expect(page.get_by_text("The model no longer reads what is above")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="This does not fit")).to_have_count(0)
    expect(page.get_by_label("Message", exact=True)).to_have_value(question)
    page.get_by_label("Message", exact=True).press("Enter")
    expect(page.locator(".message-assistant")).to_have_count(5)

    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The model no longer reads what is above")).to_have_count(0)
    expect(page.get_by_text("no room for a reply")).to_be_visible()


def test_what_the_engine_has_refused_is_asked_again_after_the_choice(
    open_page: OpenPage, engine: LimitedEngine
) -> None:
    page = open_page()
    fill_up(page)
    # It becomes smaller, and the page has not heard of it.
    engine.limit = 250
    ask(page, "next")
    expect(page.get_by_text("longer than the 250 tokens")).to_be_visible()
    expect(page.get_by_text("Your last question did not fit.")).to_be_visible()
    choice(page, "Leave out the oldest messages").click()
    expect(page.locator(".message-assistant .prose").last).to_have_text("next")
    expect(page.get_by_text("Your last question did not fit.")).to_be_hidden()
    assert engine.last_words()[-1] == "next"


def test_a_summary_grows_before_ones_eyes_and_takes_its_place(open_page: OpenPage, engine: LimitedEngine) -> None:
    page = open_page()
    fill_up(page)
    engine.gate.clear()
    page.get_by_label("Message", exact=True).fill("A draft")
    choice(page, "Summarise what came before").click()
    expect(page.locator(".summary-text")).to_have_text("They spoke about words.")
    choice(page, "Stop the summary").click()
    expect(page.locator(".summary-text")).to_have_count(0)

    choice(page, "Summarise what came before").click()
    expect(page.locator(".summary-text")).to_be_visible()
    engine.gate.set()
    cut = page.locator("#context-cut")
    expect(cut).to_contain_text("The model reads a summary of what is above")
    cut.locator("summary").click()
    expect(cut.get_by_text("They spoke about words.")).to_be_visible()
    expect(page.get_by_text("soon be longer")).to_be_hidden()
    expect(page.get_by_label("Message", exact=True)).to_have_value("A draft")
    page.reload()
    expect(page.locator("#context-cut")).to_contain_text("The model reads a summary of what is above")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#context-cut")).to_have_count(0)


def test_a_new_chat_takes_the_summary_and_the_draft_along(open_page: OpenPage) -> None:
    page = open_page()
    fill_up(page)
    former = page.url
    page.get_by_label("Message", exact=True).fill("A draft")
    choice(page, "Start a new chat with a summary").click()
    expect(page.get_by_text("This chat begins with a summary of an earlier one")).to_be_visible()
    assert page.url != former
    expect(page.get_by_label("Message", exact=True)).to_have_value("A draft")
    expect(page.locator("#conversation-list [aria-current]")).to_contain_text("Continued: q0")
    ask(page, "And now?")
    expect(page.locator(".message-assistant .prose")).to_have_text("And now?")
    page.get_by_text("This chat begins with a summary").click()
    page.get_by_role("link", name=re.compile("Open the earlier chat")).click()
    expect(page.locator(".message-assistant")).to_have_count(4)
    assert page.url.split("?")[0] == former


def test_axe_finds_nothing_and_a_phone_has_room_for_it(open_page: OpenPage, engine: LimitedEngine) -> None:
    page = open_page(bypass_csp=True, viewport=PHONE)
    fill_up(page)
    expect(choice(page, "Summarise what came before")).to_be_visible()
    states = [find_faults(page), width(page)]
    engine.gate.clear()
    engine.summary = "word " * 40
    choice(page, "Summarise what came before").click()
    expect(page.locator(".summary-text")).to_be_visible()
    states += [find_faults(page), width(page)]
    engine.gate.set()
    expect(page.locator("#context-cut")).to_be_visible()
    page.locator("#context-cut summary").click()
    states += [find_faults(page), width(page)]
    assert states == [[], PHONE["width"]] * 3


def width(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))

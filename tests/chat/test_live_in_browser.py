"""A reply while it is written, in a real browser: its figures, its cuts, its other windows and its title."""

from __future__ import annotations

import re
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from llm_hoster.engine.record.state import write_state
from tests.chat.cut_network import CutNetwork, cut_network
from tests.chat.told_engine import Asked, ToldEngine, told_engine
from tests.live_engine import wait_for
from tests.page_faults import find_faults
from tests.web_session import WebServer, ready_state

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


@pytest.fixture
def engine(short_dir: Path) -> Iterator[ToldEngine]:
    with told_engine(short_dir / "told.sock") as engine:
        yield engine


@pytest.fixture
def server(make_server: Callable[..., WebServer], short_dir: Path, engine: ToldEngine) -> WebServer:
    return make_server(engine=short_dir / "told.sock", chat_titles=True)


@pytest.fixture
def network(server: WebServer) -> Iterator[CutNetwork]:
    with cut_network(server.settings.port) as network:
        yield network


def send(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def ask(page: Page, engine: ToldEngine, text: str, *said: str) -> Asked:
    """Ask, and have the engine begin with what is `said`."""
    send(page, text)
    asked = engine.next_question()
    for piece in said:
        asked.say(piece)
    if said:
        expect(page.locator(".message-assistant .prose").last).to_contain_text(said[-1].strip())
    return asked


def end(page: Page, asked: Asked, engine: ToldEngine | None = None) -> None:
    """End a reply; with `engine` also the title that comes after a first one, which is none."""
    asked.end()
    if engine is not None:
        engine.next_question().die()
    expect(page.locator(".message-stop")).to_have_count(0)


def come_back(page: Page) -> None:
    """Look at the window again, as a browser says it."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def height(part: Locator) -> float:
    box = part.bounding_box()
    assert box is not None
    return box["height"]


@pytest.fixture
def told_on() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Do something again and again until the test ends, as a model does that writes on."""
    is_over = threading.Event()
    threads: list[threading.Thread] = []

    def start(work: Callable[[], None]) -> None:
        def run() -> None:
            while not is_over.wait(0.05):
                work()

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    is_over.set()
    for thread in threads:
        thread.join()


def test_the_figures_are_live_and_nothing_jumps(open_page: OpenPage, engine: ToldEngine, told_on: Any) -> None:
    page = open_page()
    send(page, "Why?")
    asked = engine.next_question()
    foot = page.locator(".message-stop")
    expect(foot).to_be_visible()
    before = height(foot)
    is_thinking = True
    told_on(lambda: asked.say(reasoning="hm ") if is_thinking else asked.say("so "))
    expect(foot).to_contain_text("Thinking for")
    expect(foot).to_contain_text(re.compile(r"Thinking for [1-9] s\s*\d+ tokens\s*\d+ tokens/s"))
    is_thinking = False
    expect(foot).not_to_contain_text("Thinking")
    assert height(foot) == before
    # Who listens hears that it writes, and not each figure.
    assert page.locator("#announcer").inner_text() == "The model is writing."
    page.reload()
    expect(foot).to_contain_text(re.compile(r"\d+ tokens/s"))

    asked.end("length", tokens=77)
    facts = page.locator(".message-assistant .message-facts")
    expect(facts).to_contain_text(re.compile(r"Cut off at the token limit\s*77 tokens\s*[\d.]+ tokens/s\s*first after"))
    assert height(page.locator(".message-assistant .message-foot")) == before


def test_an_answer_that_was_cut_off_goes_on_and_half_a_thought_begins_anew(
    open_page: OpenPage, engine: ToldEngine
) -> None:
    page = open_page()
    asked = ask(page, engine, "Why?")
    asked.say(reasoning="Because. ")
    asked.say("It is")
    asked.end("length")
    engine.next_question().die()
    page.get_by_role("button", name="Continue").click()
    more = engine.next_question()
    assert more.body["messages"][-1] == {"role": "assistant", "content": "It is", "reasoning": "Because. "}
    # The parser of an engine takes the beginning of an answer for thoughts.
    more.say(reasoning=" so.")
    more.end("stop")
    expect(page.locator(".message-assistant .prose")).to_have_text("It is so.")
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)
    engine.next_question().die()  # The title, which was given up for the last question.

    asked = ask(page, engine, "And why that?")
    asked.say(reasoning="Hm")
    asked.end("length")
    expect(page.get_by_text("Cut off at the token limit, while it was thinking")).to_be_visible()
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)
    page.get_by_role("button", name="Try again").last.click()
    again = engine.next_question()
    assert again.body["messages"][-1] == {"role": "user", "content": "And why that?"}
    again.say("So.")
    end(page, again)


def test_an_engine_that_dies_leaves_what_it_wrote_and_goes_on_when_it_is_back(
    open_page: OpenPage, engine: ToldEngine, server: WebServer
) -> None:
    page = open_page(provokes="503|Response Status Error")
    asked = ask(page, engine, "Count", "one two ")
    write_state(server.settings.state_path, ready_state(state="restarting"))
    asked.die()
    expect(page.get_by_text("The engine ended in the middle of this reply.")).to_be_visible()
    expect(page.locator(".message-assistant .prose")).to_have_text("one two")

    # It is not back yet: nothing is lost, and the page says what it waits for.
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#error")).to_contain_text("The engine is being started again. Try again in a moment.")
    expect(page.locator(".message-assistant .prose")).to_have_text("one two")

    write_state(server.settings.state_path, ready_state())
    page.get_by_role("button", name="Continue").click()
    more = engine.next_question()
    more.say("three")
    more.end()
    engine.next_question().die()
    expect(page.locator(".message-assistant .prose")).to_have_text("one two three")
    expect(page.locator("#error")).to_be_empty()


def test_a_page_without_network_comes_back_to_its_reply_by_itself(
    open_page: OpenPage, engine: ToldEngine, network: CutNetwork
) -> None:
    page = open_page(provokes="net::ERR_|htmx:(sendError|afterRequest)")
    page.goto(network.url)
    asked = ask(page, engine, "Count", "one ")
    foot = page.locator(".message-stop")
    before = height(foot)
    network.cut()
    expect(foot.get_by_text("Reconnecting…")).to_be_visible()
    assert height(foot) == before
    asked.say("two ")
    network.mend()
    expect(page.locator(".prose")).to_have_text("one two")
    expect(foot.get_by_text("Reconnecting…")).to_be_hidden()
    asked.say("three")
    expect(page.locator(".prose")).to_have_text("one two three")
    end(page, asked, engine)


@pytest.mark.parametrize("way", ["button", "browser"])
def test_a_session_that_stays_away_is_told_with_a_button(
    open_page: OpenPage, engine: ToldEngine, network: CutNetwork, way: str
) -> None:
    page = open_page(bypass_csp=True)
    page.clock.install()
    page.goto(network.url)
    asked = ask(page, engine, "Count", "one ")
    network.cut()
    foot = page.locator(".message-stop")
    line = foot.get_by_text("The connection to the session is lost.")
    expect(foot.get_by_text("Reconnecting…")).to_be_visible()
    while not line.is_visible():
        page.clock.run_for(1000)
    expect(foot.get_by_text("Reconnecting…")).to_be_hidden()
    assert find_faults(page) == []
    network.mend()
    asked.say("two ")
    if way == "button":
        page.get_by_role("button", name="Connect again").click()
    else:
        page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator(".prose")).to_have_text("one two")
    expect(line).to_be_hidden()
    end(page, asked, engine)


def test_another_window_shows_the_running_reply_and_refuses_to_mix(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page(provokes="409|Response Status Error")
    end(page, ask(page, engine, "Count", "one"), engine)
    other = page.context.new_page()
    other.goto(page.url)
    asked = ask(page, engine, "On", "two ")

    # The other window has not heard of it: its text stays, and it sees what is written.
    send(other, "Mine")
    expect(other.locator("#error")).to_contain_text("A reply is still being written in this chat.")
    expect(other.get_by_label("Message", exact=True)).to_have_value("Mine")
    expect(other.locator(".prose").last).to_have_text("two")
    asked.say("three")
    for each in (page, other):
        expect(each.locator(".prose").last).to_have_text("two three")
    asked.end()
    for each in (page, other):
        expect(each.locator(".message-stop")).to_have_count(0)


def test_a_window_that_is_looked_at_again_has_what_was_written_elsewhere(
    open_page: OpenPage, engine: ToldEngine
) -> None:
    page = open_page()
    end(page, ask(page, engine, "Count", "one"), engine)
    other = page.context.new_page()
    other.goto(page.url)
    end(page, ask(page, engine, "On", "two"))
    asked_for: list[str] = []
    other.on("request", lambda request: asked_for.append(request.url) if "/news" in request.url else None)

    come_back(other)
    expect(other.locator(".prose")).to_have_text(["one", "two"])
    come_back(other)
    expect(other.locator(".prose")).to_have_text(["one", "two"])
    assert len(asked_for) <= 2
    # A message that is being edited there is left alone.
    other.get_by_role("link", name="Edit").last.click()
    box = other.get_by_label("Your message in other words")
    box.fill("Half of")
    end(page, ask(page, engine, "More", "three"))
    come_back(other)
    expect(box).to_have_value("Half of")


def test_a_question_from_a_window_of_yesterday_becomes_a_branch(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page(bypass_csp=True)
    end(page, ask(page, engine, "Count", "one"), engine)
    other = page.context.new_page()
    other.goto(page.url)
    end(page, ask(page, engine, "Here", "two"))

    asked = ask(other, engine, "There", "three")
    assert [message["content"] for message in asked.body["messages"]] == ["Count", "one", "There"]
    expect(other.get_by_text("This chat has gone on in another window.")).to_be_visible()
    expect(other.get_by_text("2 / 2")).to_be_visible()
    end(other, asked)
    assert find_faults(other) == []
    # What it shows is what counts, and not what it showed at first.
    asked = ask(other, engine, "Further", "four")
    told = [message["content"] for message in asked.body["messages"]]
    assert told == ["Count", "one", "There", "three", "Further"]
    end(other, asked)
    expect(other.get_by_text("This chat has gone on in another window.")).to_have_count(1)
    other.get_by_role("button", name="Show the one before").click()
    expect(other.locator(".prose")).to_have_text(["one", "two"])


def test_the_model_names_a_chat_and_no_name_of_a_person_is_replaced(open_page: OpenPage, engine: ToldEngine) -> None:
    page = open_page()
    shown = page.locator("#conversation-list a[aria-current]")
    asked = ask(page, engine, "What is a mutex?", "A lock.")
    expect(shown).to_have_text("What is a mutex?")
    expect(page).to_have_title(re.compile("What is a mutex. · LLM Hoster"))
    asked.end()
    wanted = engine.next_question()
    expect(page.locator(".message-stop")).to_have_count(0)
    assert (wanted.body["priority"], wanted.body["chat_template_kwargs"]["enable_thinking"]) == (2000, False)
    assert "What is a mutex?" in wanted.body["messages"][0]["content"]
    wanted.answer('<think>Hm.</think>\n"**Mutexes in short**."')
    expect(shown).to_have_text("Mutexes in short")
    expect(page).to_have_title(re.compile("Mutexes in short · LLM Hoster"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Mutexes in short")
    expect(page.get_by_role("link", name="Rename, pin or delete Mutexes in short")).to_be_visible()
    end(page, ask(page, engine, "And a lock?", "The same."))
    assert not engine.was_asked()

    page.get_by_role("link", name="New chat").click()
    asked = ask(page, engine, "What is a queue?", "A line.")
    asked.end()
    wanted = engine.next_question()
    page.get_by_role("link", name="Rename, pin or delete What is a queue?").click()
    page.get_by_label("Title").fill("Mine")
    page.get_by_role("button", name="Save").click()
    expect(shown).to_have_text("Mine")
    wanted.answer("Queues")
    end(page, ask(page, engine, "And a stack?", "A pile."))
    page.reload()
    expect(shown).to_have_text("Mine")


def test_a_disk_that_fills_up_is_told_in_the_page_that_is_open(
    open_page: OpenPage, engine: ToldEngine, server: WebServer
) -> None:
    page = open_page()
    asked = ask(page, engine, "Count", "one ")
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    worker = int(children[0])
    before = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, before[1]))
    asked.say("two")
    end(page, asked, engine)
    expect(page.locator(".prose")).to_have_text("one two")
    expect(page.locator("#error")).to_contain_text("The disk takes no more")
    resource.prlimit(worker, resource.RLIMIT_FSIZE, before)
    end(page, ask(page, engine, "On", "three"))
    wait_for(lambda: "The disk takes no more" not in page.reload().text(), "it is saved by itself")
    expect(page.locator(".prose")).to_have_text(["one two", "three"])

"""What appears by itself, and what a press does, in a real browser: with script, without it, by keyboard, for axe."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import Remedy, State, write_state
from tests.conftest import MakeCatalogue
from tests.page_faults import find_faults
from tests.status.small_supervisor import SmallSupervisor
from tests.web_session import PASSWORD, WebServer, ready_state, starting_state

pytestmark = pytest.mark.browser

MakeServer = Callable[..., WebServer]
# The head of a page asks every ten seconds.
SOON_MS = 13_000
FAILED = {
    "state": "failed",
    "cause": "The longest context that fits is 18,432 tokens.",
    "deciding_line": "ValueError: To serve at least one request",
    "remedy": Remedy("Restart with a context of 18,432 tokens", Adjustment(max_model_len=18432)),
}


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Log in as the owner; `bypass_csp` lets axe in, and without it no fault may be in the console at the end."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def make(server: WebServer, *, bypass_csp: bool = True, java_script_enabled: bool = True) -> Page:
        context = browser.new_context(
            base_url=server.url, bypass_csp=bypass_csp, java_script_enabled=java_script_enabled
        )
        contexts.append(context)
        context.request.post("/login", form={"password": PASSWORD})
        page = context.new_page()
        if not bypass_csp:
            page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto("/")
        return page

    yield make
    for context in contexts:
        context.close()
    assert faults == []


def put(server: WebServer, state: State) -> None:
    write_state(server.settings.state_path, state)


def test_an_idle_session_asks_in_an_open_page_and_one_press_is_enough(
    make_server: MakeServer, open_page: Callable[..., Page]
) -> None:
    server = make_server()
    page = open_page(server)
    page.get_by_label("Message").fill("Half a question")

    put(server, ready_state(idle_ends_at=time.time() + 110, job_ends_at=time.time() + 800))

    question = page.get_by_role("alert").filter(has_text="Nobody has asked anything for a while.")
    expect(question).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_text("This session ends in less than 15 minutes")).to_be_visible()
    expect(page).to_have_title("Still there? · New chat · LLM Hoster")
    assert find_faults(page) == []

    supervisor = SmallSupervisor(server.settings, after=ready_state())
    try:
        page.get_by_role("button", name="Keep it running").click()
        expect(question).to_be_hidden()
    finally:
        supervisor.close()
    assert [each.kind for each in supervisor.orders] == ["stay"]
    expect(page).to_have_title("New chat · LLM Hoster")
    expect(page.get_by_label("Message")).to_have_value("Half a question")


def test_the_remedy_leads_to_the_start_up_and_that_to_the_message_box(
    make_server: MakeServer, open_page: Callable[..., Page]
) -> None:
    server = make_server(state=ready_state(**FAILED))
    page = open_page(server, bypass_csp=False)
    supervisor = SmallSupervisor(server.settings, after=ready_state(state="restarting", steps=starting_state().steps))
    try:
        page.get_by_role("button", name="Restart with a context of 18,432 tokens").click()
        expect(page.get_by_role("heading", name="The engine is being started again")).to_be_visible()
    finally:
        supervisor.close()
    assert supervisor.orders[0].values["max_model_len"] == 18432
    expect(page.locator(".step-running .counting")).to_have_text(re.compile("^[4-9]$"))
    put(server, ready_state())
    expect(page.get_by_label("Message")).to_be_visible()


def test_what_was_written_outlives_the_engine(make_server: MakeServer, open_page: Callable[..., Page]) -> None:
    server = make_server()
    page = open_page(server)
    page.get_by_label("Message").fill("Half a question")

    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))

    put(server, starting_state())
    page.evaluate("document.body.dispatchEvent(new Event('engine-changed'))")
    expect(page.get_by_label("Message")).to_be_hidden()
    assert find_faults(page) == []
    put(server, ready_state())

    expect(page.get_by_label("Message")).to_have_value("Half a question")
    assert addresses and not [address for address in addresses if "Half" in address]


def test_the_failure_is_accessible_and_its_buttons_need_no_script(
    make_server: MakeServer, open_page: Callable[..., Page]
) -> None:
    server = make_server(state=ready_state(**FAILED))
    assert find_faults(open_page(server)) == []
    page = open_page(server, java_script_enabled=False)
    supervisor = SmallSupervisor(server.settings, after=starting_state())
    try:
        page.get_by_role("button", name="Start again as launched").click()
        expect(page.get_by_role("heading", name="The model is loading")).to_be_visible()
    finally:
        supervisor.close()
    assert supervisor.orders[0].values == {}


def test_another_model_is_chosen_by_keyboard(
    make_server: MakeServer, open_page: Callable[..., Page], make_catalogue: MakeCatalogue, tmp_path: Path
) -> None:
    catalogue = make_catalogue()
    catalogue["models"].append(catalogue["models"][0] | {"name": "second", "title": "Second model"})
    catalogue["fits"]["second"] = catalogue["fits"]["tiny"]
    values = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
    (tmp_path / "session.json").write_text(json.dumps({"context": values, "catalogue": catalogue}))
    server = make_server()
    page = open_page(server)

    page.get_by_role("link", name="Change the model").press("Enter")
    dialog = page.get_by_role("dialog", name="Change the model")
    expect(dialog.get_by_role("radio", name="Second model")).to_be_visible()
    assert find_faults(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name="Change the model")).to_be_focused()

    page.keyboard.press("Enter")
    dialog.get_by_role("radio", name="Second model").press("Space")
    supervisor = SmallSupervisor(server.settings, after=ready_state(state="switching", steps=starting_state().steps))
    try:
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="The session is changing its model")).to_be_visible()
    finally:
        supervisor.close()
    assert supervisor.orders[0].values["model"] == "second"


def test_a_refusal_is_told_in_the_open_panel_and_what_was_typed_stays(
    make_server: MakeServer, open_page: Callable[..., Page]
) -> None:
    page = open_page(make_server())
    page.set_viewport_size({"width": 900, "height": 400})
    page.get_by_role("link", name="Keys").click()
    dialog = page.get_by_role("dialog", name="Keys")
    alert = dialog.get_by_role("alert").filter(has_text="expected 1 to 60 characters")
    dialog.get_by_text("Limits", exact=True).click()
    dialog.get_by_label("Models").fill("tiny")

    dialog.get_by_label("For").fill(" ")
    dialog.get_by_label("For").press("Enter")

    expect(alert).to_be_in_viewport(ratio=1)
    expect(dialog.get_by_label("Models")).to_have_value("tiny")
    assert find_faults(page) == []
    dialog.get_by_role("button", name="Dismiss this message").click()
    expect(alert).to_be_hidden()

    dialog.get_by_label("For").press("Enter")
    expect(alert).to_be_visible()
    dialog.get_by_label("For").fill("Ada")
    dialog.get_by_label("For").press("Enter")
    expect(dialog.get_by_role("textbox", name="The key of Ada")).to_be_visible()
    expect(alert).to_be_hidden()


def test_an_order_that_is_refused_is_told_in_the_open_panel_and_goes_with_it(
    make_server: MakeServer, open_page: Callable[..., Page]
) -> None:
    page = open_page(make_server(state=ready_state(adapters=())))  # Without a supervisor that would take it.
    page.get_by_role("link", name="Engine").click()
    dialog = page.get_by_role("dialog", name="Engine")

    dialog.get_by_role("button", name="Look for adapters again").click()

    expect(dialog.get_by_role("alert")).to_contain_text("Dismiss")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Dismiss this message")).to_have_count(0)
    page.get_by_role("link", name="Engine").click()
    expect(dialog.get_by_role("alert")).to_be_empty()


@pytest.mark.parametrize("has_script", [True, False])
def test_a_panel_that_is_a_page_tells_a_refusal_and_keeps_what_was_typed(
    make_server: MakeServer, open_page: Callable[..., Page], has_script: bool
) -> None:
    page = open_page(make_server(), java_script_enabled=has_script)
    page.goto("/keys/")
    page.get_by_label("For").fill(" ")
    page.get_by_label("Days").fill("7")
    page.get_by_text("Limits", exact=True).click()
    page.get_by_label("Tokens in all").fill("1000")
    page.get_by_label("Priority").select_option("low")

    page.get_by_role("button", name="Make the key").click()

    expect(page.get_by_role("alert").filter(has_text="expected 1 to 60 characters")).to_be_in_viewport(ratio=1)
    for label, value in [("For", " "), ("Days", "7"), ("Tokens in all", "1000"), ("Priority", "low")]:
        expect(page.get_by_label(label)).to_have_value(value)
    page.get_by_label("For").fill("Ada")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("textbox", name="The key of Ada")).to_be_visible()
    expect(page.get_by_label("Days")).to_have_value("90")
    expect(page.get_by_role("alert").filter(has_text="expected")).to_be_hidden()


def test_a_session_that_does_not_answer_any_more_is_said_to_be_gone(
    make_server: MakeServer, open_page: Callable[..., Page]
) -> None:
    server = make_server(state=starting_state())
    page = open_page(server)
    expect(page.get_by_text("The session does not answer")).to_be_hidden()

    server.kill()

    expect(page.get_by_role("alert").filter(has_text="The session does not answer")).to_be_visible(timeout=SOON_MS)

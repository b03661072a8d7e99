"""The pages in German, whose words are longer: nothing leaves the page at either side, and axe finds nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import Remedy, Step, Transition, write_state
from tests.page_faults import find_faults
from tests.web_session import WebServer, ready_state

pytestmark = pytest.mark.browser

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
WIDER_THAN_SEEN = """[...document.querySelectorAll("body, body *")].filter((each) => {
  const box = each.getBoundingClientRect();
  const scrolls = each.closest("pre, .prose, .table-box, .visually-hidden, .skip-link, [hidden]");
  return !scrolls && box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
}).map((each) => each.outerHTML.slice(0, 120))"""
SENTENCES = ["Everything", "Your conversations", "The model", "This session", "Write a message", "Close", "New chat"]

OpenPage = Callable[..., Page]


def look(page: Page) -> None:
    """Nothing may be cut at the sides, on a phone as on a desktop, nor be a fault to axe, nor stay in English."""
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        assert page.evaluate(WIDER_THAN_SEEN) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert find_faults(page) == []
    text = page.locator("body").inner_text()
    assert [sentence for sentence in SENTENCES if sentence in text] == []


def ask(page: Page, text: str) -> None:
    page.get_by_label("Nachricht", exact=True).fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".message-assistant").last).to_contain_text(text)
    expect(page.locator(".message-stop")).to_have_count(0)


def test_a_chat_and_every_panel(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True, locale="de-DE")
    look(page)
    ask(page, "Äpfel")
    look(page)
    page.evaluate("document.body.dispatchEvent(new Event('engine-changed'))")
    expect(page.locator("#session")).to_contain_text(re.compile(r"SU bisher\s*\d+,\d"))
    for link, title in [
        ("Engine", "Engine"),
        ("Verbinden", "Programme verbinden"),
        ("Schlüssel", "Schlüssel"),
        ("Export und Import", "Export und Import"),
    ]:
        page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
        page.get_by_role("link", name=link, exact=True).click()
        expect(page.get_by_role("dialog", name=title, exact=True)).to_be_visible()
        for summary in page.locator("#panel-content summary").all():
            summary.click()
        look(page)
        page.keyboard.press("Escape")


def test_a_start_and_a_failure(open_page: OpenPage, server: WebServer) -> None:
    steps = (Step("start", "Start vLLM", 12.0, "done"), Step("weights", "Load the model's weights", 3.0, "running"))
    write_state(server.settings.state_path, ready_state(state="starting", steps=steps))
    page = open_page(bypass_csp=True, locale="de-DE")
    expect(page.get_by_role("heading", name="Das Modell lädt")).to_be_visible()
    expect(page.get_by_text("Die Gewichte des Modells laden, läuft")).to_be_visible()
    look(page)

    failed = ready_state(
        state="failed",
        cause="The GPU's memory ran out while it served. Restart with a smaller share of the memory, ask fewer or "
        "shorter questions at once, or choose a larger GPU type or more GPUs.",
        deciding_line="torch.OutOfMemoryError",
        remedy=Remedy("Restart with 85 % of the GPU's memory", Adjustment(gpu_memory_utilization=0.85)),
        job_ends_at=time.time() + 250,
        ends_at=time.time() + 200,
        transitions=(Transition(time.time(), "ready", "failed", "A GPU of this node is faulty."),),
    )
    write_state(server.settings.state_path, failed)
    page.reload()
    expect(page.get_by_text("Der GPU-Speicher reichte im Betrieb nicht mehr.")).to_be_visible()
    expect(page.get_by_role("button", name="Mit 85 % des GPU-Speichers neu starten")).to_be_visible()
    expect(page.get_by_text("Diese Sitzung endet in weniger als 5 Minuten")).to_be_visible()
    look(page)


def test_the_choice_holds_and_scripts_follow_it(open_page: OpenPage) -> None:
    page = open_page(locale="en-GB", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Deutsch").press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    ask(page, "Birnen")
    expect(page.locator("#announcer")).to_have_text("Die Antwort ist fertig.")
    page.get_by_role("button", name="Kopieren").click()
    expect(page.get_by_role("button", name="Kopiert")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Heute")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_text("Today")).to_be_visible()


def test_the_login_page_has_the_choice_too(open_page: OpenPage) -> None:
    page = open_page(bypass_csp=True, password="")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("heading", name="Diese Sitzung ist privat")).to_be_visible()
    look(page)
    page.get_by_label("Oder hier das Geheimnis").fill("falsch")
    page.get_by_role("button", name="Anmelden").click()
    expect(page.get_by_text("Das ist weder das Geheimnis dieser Sitzung noch ein gültiger Schlüssel.")).to_be_visible()

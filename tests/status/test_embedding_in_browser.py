"""The page of a model that embeds, in a real browser: wide and narrow, light and dark, for axe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from llm_hoster.engine.record.state import ServedModel, write_state
from portal.chromium import CHROMIUM, FLAGS
from portal.debian_package import require_packages
from tests.conftest import REPOSITORY
from tests.shared_playwright import shared_playwright
from tests.web_session import PASSWORD, WebServer, ready_state

pytestmark = pytest.mark.browser

AXE = REPOSITORY / "tests" / "vendor" / "axe.min.js"
EMBEDS = ready_state(model=ServedModel("qwen3-embedding-4b", "Qwen3 Embedding 4B", task="embed"))
SIZES = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 360, "height": 740}}
# The head of a page asks every ten seconds.
SOON_MS = 13_000


@pytest.fixture
def open_page() -> Iterator[Callable[[WebServer], Page]]:
    require_packages(["chromium"])
    browser = shared_playwright().chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])

    def make(server: WebServer) -> Page:
        context = browser.new_context(base_url=server.url, bypass_csp=True)  # axe comes from outside.
        context.request.post("/login", form={"password": PASSWORD})
        page = context.new_page()
        page.goto("/")
        return page

    yield make
    browser.close()


def test_the_panel_for_programs(make_server: Callable[..., WebServer], open_page: Callable[[WebServer], Page]) -> None:
    page = open_page(make_server(state=EMBEDS))

    expect(page.get_by_role("heading", name="This model is for programs")).to_be_visible()
    expect(page.get_by_label("Message")).to_have_count(0)
    for name, size in SIZES.items():
        page.set_viewport_size(size)  # type: ignore[arg-type]
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.add_script_tag(path=AXE)
            violations = page.evaluate("axe.run()")["violations"]
            faults = [f"{fault['id']}: {node['html']}" for fault in violations for node in fault["nodes"]]
            assert faults == [], f"{name}, {scheme}"
            if os.environ.get("SHOTS"):
                page.screenshot(path=Path(os.environ["SHOTS"]) / f"embed-{name}-{scheme}.png")
    change = page.get_by_role("link", name="change the model", exact=True)
    change.scroll_into_view_if_needed()
    expect(change).to_be_in_viewport()


def test_the_address_of_the_panel_beside_it_has_lines_of_its_own_to_copy(
    make_server: Callable[..., WebServer], open_page: Callable[[WebServer], Page]
) -> None:
    page = open_page(make_server(state=EMBEDS))

    page.get_by_role("link", name="Connect", exact=True).click()

    expect(page.get_by_label("Lines for Python", exact=True).last).to_be_visible()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert sorted(ids) == sorted(set(ids))
    for button in page.locator("[data-copy]").all():
        assert page.locator(f"#{button.get_attribute('data-copy')}").count() == 1


def test_an_open_page_follows_the_change_to_a_model_that_writes(
    make_server: Callable[..., WebServer], open_page: Callable[[WebServer], Page]
) -> None:
    server = make_server()
    page = open_page(server)
    page.get_by_label("Message").fill("Half a question")

    write_state(server.settings.state_path, ready_state(state="switching", model=EMBEDS.model))
    expect(page.get_by_text("The session is changing its model")).to_be_visible(timeout=SOON_MS)
    write_state(server.settings.state_path, EMBEDS)
    expect(page.get_by_role("heading", name="This model is for programs")).to_be_visible()

    write_state(server.settings.state_path, ready_state(state="switching"))
    expect(page.get_by_text("The session is changing its model")).to_be_visible(timeout=SOON_MS)
    write_state(server.settings.state_path, ready_state())
    expect(page.get_by_label("Message")).to_have_value("Half a question")

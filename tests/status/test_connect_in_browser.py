"""The Connect panel in a real browser: wide and narrow, light and dark, for axe, and what its buttons copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.status.location import COMPUTER
from llm_hoster.status.snippet import snippet
from llm_hoster.status.tunnel import owner_name, tunnel_of
from portal.chromium import CHROMIUM, FLAGS
from portal.debian_package import require_packages
from tests.conftest import REPOSITORY
from tests.shared_playwright import shared_playwright
from tests.web_session import API_KEY, PASSWORD, WebServer

pytestmark = pytest.mark.browser

AXE = REPOSITORY / "tests" / "vendor" / "axe.min.js"
SIZES = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 360, "height": 740}}
TINY = ServedModel("tiny", "Tiny model")
OpenPanel = Callable[..., Page]


@pytest.fixture
def open_panel() -> Iterator[OpenPanel]:
    require_packages(["chromium"])
    browser = shared_playwright().chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])

    def make(server: WebServer, **options: bool) -> Page:
        context = browser.new_context(base_url=server.url, permissions=["clipboard-read", "clipboard-write"], **options)  # type: ignore[arg-type]
        context.request.post("/login", form={"password": PASSWORD})
        page = context.new_page()
        page.goto("/")
        page.get_by_role("link", name="Connect", exact=True).click()
        expect(page.locator("#panel-title")).to_be_visible()
        return page

    yield make
    browser.close()


def find_faults(page: Page, name: str) -> list[str]:
    faults = []
    for size_name, size in SIZES.items():
        page.set_viewport_size(size)  # type: ignore[arg-type]
        if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            faults.append(f"{size_name}: wider than the window")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.add_script_tag(path=AXE)
            violations = page.evaluate("axe.run()")["violations"]
            faults += [
                f"{size_name} {scheme} {each['id']}: {node['html']}" for each in violations for node in each["nodes"]
            ]
            if os.environ.get("SHOTS"):
                page.screenshot(path=Path(os.environ["SHOTS"]) / f"{name}-{size_name}-{scheme}.png")
    return faults


def copied(page: Page, button: str) -> str:
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("button", name=button)).to_have_text("Copied")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def test_the_panel_is_accessible_in_both_locations(
    make_server: Callable[..., WebServer], open_panel: OpenPanel
) -> None:
    page = open_panel(make_server(), bypass_csp=True)  # axe comes from outside.
    assert find_faults(page, "cluster") == []

    page.get_by_role("link", name="On my computer").click()
    expect(page.get_by_text("Open the tunnel in a window of its own")).to_be_visible()
    expect(page.get_by_label("Lines for Python", exact=True)).to_be_visible()
    assert find_faults(page, "computer") == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert sorted(ids) == sorted(set(ids))


def test_the_buttons_copy_what_stands_beside_them(make_server: Callable[..., WebServer], open_panel: OpenPanel) -> None:
    server = make_server()
    page = open_panel(server)

    assert copied(page, "Copy API key") == API_KEY
    assert copied(page, "Copy the lines for Python").rstrip() == snippet("python", server.settings, TINY)
    page.get_by_text("LangChain", exact=True).click()
    assert copied(page, "Copy the lines for LangChain") == snippet("langchain", server.settings, TINY)

    page.get_by_role("link", name="On my computer").press("Enter")
    expect(page.get_by_role("link", name="On my computer")).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("link", name="On my computer")).to_be_focused()
    assert copied(page, "Copy the tunnel's line") == tunnel_of(server.settings, owner_name()).ssh_line
    assert copied(page, "Copy Base URL") == COMPUTER.base_url(server.settings)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert API_KEY not in page.content()


def test_without_script_it_is_a_page_with_links(make_server: Callable[..., WebServer], open_panel: OpenPanel) -> None:
    server = make_server()
    page = open_panel(server, java_script_enabled=False)

    page.get_by_role("link", name="On my computer").click()

    expect(page.get_by_role("textbox", name="Base URL")).to_have_value(COMPUTER.base_url(server.settings))
    page.locator("summary", has_text="curl").click()
    expect(page.locator("#connect-computer-curl")).to_contain_text("LLM_HOSTER_API_KEY")

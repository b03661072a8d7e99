"""axe-core finds nothing to complain of on our pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from tests.end_to_end.browser import open_context
from tests.end_to_end.cluster_portal import ClusterPortal
from tests.end_to_end.launched_session import Launched, LaunchedSession
from tests.end_to_end.portal_pages import connect
from tests.end_to_end.site_app import REPOSITORY

AXE = REPOSITORY / "tests" / "vendor" / "axe.min.js"
# A page that loads anew by itself, as the start-up does when the model is there.
GOES_ON = re.compile("context was destroyed|axe is not defined")


@pytest.fixture(params=["light", "dark"])
def lenient(request: pytest.FixtureRequest, browser: Browser, portal: ClusterPortal) -> Iterator[BrowserContext]:
    """A browser in both colour schemes that lets axe in past our content security policy."""
    password = portal.passwords["alice"]
    context = open_context(browser, portal.url, "alice", password, bypass_csp=True, color_scheme=request.param)
    context.new_page()
    yield context
    context.close()


def find_faults(page: Page) -> list[str]:
    for _ in range(5):
        try:
            page.add_script_tag(path=AXE)
            found = page.evaluate("axe.run()")
        except Error as error:
            if not GOES_ON.search(error.message):
                raise
            page.wait_for_load_state()
        else:
            return [f"{fault['id']}: {node['html']}" for fault in found["violations"] for node in fault["nodes"]]
    raise AssertionError("the page never stood still")


def open_session(context: BrowserContext, session: LaunchedSession) -> Page:
    return connect(context.pages[0], session)


def test_the_login_page_is_accessible(lenient: BrowserContext, launched: Launched) -> None:
    page = lenient.pages[0]
    page.goto(f"/rnode/{launched.main.host}/{launched.main.port}/")
    assert find_faults(page) == []


def test_the_start_up_page_is_accessible(lenient: BrowserContext, launched: Launched) -> None:
    assert launched.main.connection
    page = open_session(lenient, launched.main)
    expect(page.locator("#start-up, #composer").first).to_be_visible()
    assert find_faults(page) == []


def test_the_failure_page_is_accessible(lenient: BrowserContext, launched: Launched) -> None:
    launched.dead.wait_until("failed")
    page = open_session(lenient, launched.dead)
    assert find_faults(page) == []


def test_the_chat_and_the_api_panel_are_accessible(lenient: BrowserContext, main: LaunchedSession) -> None:
    page = open_session(lenient, main)
    page.get_by_label("Message").fill("Show me markdown.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".message-assistant .prose li").first).to_be_visible()
    assert find_faults(page) == []
    page.get_by_role("link", name="Connect", exact=True).click()
    expect(page.get_by_role("button", name="Copy Base URL")).to_be_visible()
    assert find_faults(page) == []

"""The gauges refresh themselves in a real browser, while they can be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from llm_hoster.engine.record.state import ServedModel
from portal.chromium import CHROMIUM, FLAGS
from portal.debian_package import require_packages
from tests.shared_playwright import shared_playwright
from tests.web_session import PASSWORD, WebServer, ready_state

# The delay between two questions is 5 s.
LONGER_MS = 6000
PANEL = """<!doctype html><meta charset="utf-8"><title>Panel</title>
<meta name="htmx-config" content='{"includeIndicatorStyles": false, "allowEval": false}'>
<script defer src="/static/vendor/htmx.min.js"></script><details><summary>Engine</summary>GAUGES</details>"""


@pytest.fixture
def page() -> Iterator[Page]:
    require_packages(["chromium"])
    browser = shared_playwright().chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
    yield browser.new_page()
    browser.close()


@pytest.mark.browser
def test_a_closed_panel_asks_nothing_and_an_open_one_goes_on(page: Page, make_server: Callable[..., WebServer]) -> None:
    url = make_server(state=ready_state(model=ServedModel("tiny", "Tiny model"))).url
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/gauges") else None)
    page.request.post(f"{url}/login", form={"password": PASSWORD})
    html = PANEL.replace("GAUGES", page.request.get(f"{url}/gauges").text())
    page.route("**/panel", lambda route: route.fulfill(body=html, content_type="text/html"))

    page.goto(f"{url}/panel")
    page.wait_for_timeout(LONGER_MS)
    assert asked == []

    page.click("summary")
    page.wait_for_timeout(2 * LONGER_MS)
    assert len(asked) == 2

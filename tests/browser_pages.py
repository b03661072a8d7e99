"""A browser that looks at a session, for every test whose own file or folder makes the `server`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from portal.chromium import CHROMIUM, FLAGS
from portal.debian_package import require_packages
from tests.shared_playwright import shared_playwright
from tests.web_session import PASSWORD, WebServer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require_packages(["chromium"])
    started = shared_playwright().chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
    yield started
    started.close()


@pytest.fixture
def open_page(browser: Browser, server: WebServer) -> Iterator[Callable[..., Page]]:
    """
    Log in, as the owner. `bypass_csp` lets axe in; without it no fault may be in the console at the end, but for what
    the browser says of answers and networks where a test `provokes` that.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def make(
        path: str = "/",
        *,
        bypass_csp: bool = False,
        provokes: str = "^$",
        password: str = PASSWORD,
        **options: object,
    ) -> Page:
        context = browser.new_context(base_url=server.url, bypass_csp=bypass_csp, **options)  # type: ignore[arg-type]
        contexts.append(context)
        context.request.post("/login", form={"password": password})
        page = context.new_page()
        if not bypass_csp:
            is_fault = lambda message: message.type == "error" and not re.search(provokes, message.text)  # noqa: E731
            page.on("console", lambda message: faults.append(message.text) if is_fault(message) else None)
            page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert faults == []

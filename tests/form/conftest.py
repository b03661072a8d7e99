"""One Chromium and one made-up form for all tests of the preview."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from llm_hoster.catalogue.compiled import Catalogue
from portal.chromium import CHROMIUM, FLAGS
from portal.debian_package import require_packages
from tests.form.form_app import make_app, serve_form
from tests.form.form_page import FormPage
from tests.form.small_form import SITE, small_catalogue
from tests.shared_playwright import shared_playwright


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    require_packages(["chromium"])
    browser = shared_playwright().chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return small_catalogue()


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue) -> Path:
    folder = tmp_path_factory.mktemp("form") / "app"
    folder.mkdir()
    return make_app(folder, SITE, catalogue)


@pytest.fixture(scope="session")
def form_url(app: Path) -> Iterator[str]:
    with serve_form(app) as url:
        yield url


@pytest.fixture(scope="session")
def windows(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture
def page(windows: BrowserContext) -> Iterator[Page]:
    """A window in which any error of a script fails the test."""
    page = windows.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


@pytest.fixture
def form(page: Page, form_url: str) -> FormPage:
    return FormPage(page, form_url)

"""Playwright, once in each process: a second one in the same thread refuses to start while the first runs."""

from __future__ import annotations

import atexit
from functools import cache

from playwright.sync_api import Playwright, sync_playwright


@cache
def shared_playwright() -> Playwright:
    playwright = sync_playwright().start()
    atexit.register(playwright.stop)
    return playwright

"""Chromium in the network of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, BrowserContext

from portal.chromium import CHROMIUM, FLAGS
from portal.debian_package import require_packages
from tests.cluster.slurm_cluster import SlurmCluster
from tests.shared_playwright import shared_playwright


@contextmanager
def run_browser(cluster: SlurmCluster) -> Iterator[Browser]:
    """Start Chromium so that only its network is the cluster's; playwright speaks to it through inherited pipes."""
    require_packages(["chromium"])
    starter = cluster.folder / "chromium"
    starter.write_text(f'#!/bin/sh\nexec nsenter -t {cluster.init_pid} -n -- {CHROMIUM} "$@"\n')
    starter.chmod(0o755)
    browser = shared_playwright().chromium.launch(executable_path=starter, args=[*FLAGS])
    try:
        yield browser
    finally:
        browser.close()


def open_context(
    browser: Browser,
    url: str,
    user: str,
    password: str,
    *,
    bypass_csp: bool = False,
    color_scheme: Literal["light", "dark"] = "light",
) -> BrowserContext:
    """Give a browser of `user`, who has passed the portal's login."""
    context = browser.new_context(
        base_url=url,
        bypass_csp=bypass_csp,
        color_scheme=color_scheme,
        http_credentials={"username": user, "password": password},
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(30_000)
    return context

"""The bar of a session that was taken over, in a real browser behind the portal's Apache."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from llm_hoster.engine.record.state import write_state
from llm_hoster.engine.record.successor import Successor
from portal.chromium import CHROMIUM, FLAGS
from portal.debian_package import require_packages
from portal.running_portal import RunningPortal
from portal.settings import PortalSettings
from tests.portal.app_builder import make_app
from tests.shared_playwright import shared_playwright
from tests.web_session import PASSWORD, WebServer, ready_state

pytestmark = pytest.mark.browser
# The head of a page asks every ten seconds.
SOON_MS = 13_000


@pytest.mark.parametrize("proxy", ["rnode", "node"])
def test_the_open_page_leads_to_the_next_session(
    make_server: Callable[..., WebServer], tmp_path: Path, proxy: str
) -> None:
    require_packages(["chromium"])
    (tmp_path / "secret").write_text(PASSWORD)
    settings = PortalSettings(app_root=make_app(tmp_path / "app"), data_root=tmp_path / "portal", secret_key="k")
    with tempfile.TemporaryDirectory(prefix="llmt-", dir="/tmp") as name, RunningPortal(settings, {"a": "b"}) as portal:
        first = make_server()
        second = make_server(runtime_dir=Path(name), session_id="session-2")
        addresses = [f"{portal.url}/{proxy}/127.0.0.1/{each.settings.port}/" for each in (first, second)]
        browser = shared_playwright().chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        context = browser.new_context(http_credentials={"username": "a", "password": "b"})
        faults: list[str] = []
        context.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        context.request.post(f"{addresses[0]}login", form={"password": PASSWORD})
        # The page is there before there is a next session, as one that lies open is: it asks to be opened again then.
        page = context.new_page()
        page.goto(addresses[0])
        successor = Successor("127.0.0.1", second.settings.port, proxy, "tiny", "Tiny model", "2", "/staged-2")
        write_state(first.settings.state_path, ready_state(successor=successor))
        bar = page.locator("#notices")
        expect(bar).to_contain_text("The next session has taken over", timeout=SOON_MS)
        with context.expect_page() as opened:
            bar.get_by_role("link", name="Open the next session").click()
        opened.value.wait_for_url(addresses[1])
        expect(opened.value.locator("#session")).to_contain_text("Tiny model")
        assert faults == []
        context.close()
        browser.close()

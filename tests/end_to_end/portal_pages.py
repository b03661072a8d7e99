"""What a person does on the portal's own pages: fill in the form, launch, look at the card."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page

from tests.end_to_end.cluster_portal import ClusterPortal
from tests.end_to_end.launched_session import LaunchedSession

FIELD = "#batch_connect_session_context_"
FORM_PATH = "/pun/sys/dashboard/batch_connect/sys/llm_hoster/session_contexts/new"
SESSIONS_PATH = "/pun/sys/dashboard/batch_connect/sessions"


def launch(page: Page, portal: ClusterPortal, **values: str) -> LaunchedSession:
    """Launch through the form and give the session of the newest card."""
    submit_form(page, **values)
    card = page.locator(".session-panel").first
    card.wait_for()
    session_id = card.get_attribute("data-id")
    assert session_id is not None
    found = re.search(r"\((\d+)\)", card.locator(".card-heading").inner_text())
    assert found is not None
    return LaunchedSession(portal.cluster, session_id, found[1], Path(portal.staged_root(session_id)))


def submit_form(page: Page, **values: str) -> None:
    """Fill in the form by its field ids and press Launch."""
    page.goto(FORM_PATH)
    for name, value in values.items():
        field = page.locator(FIELD + name)
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.get_by_role("button", name="Launch").click()


def connect(page: Page, session: LaunchedSession) -> Page:
    """Press Connect on the session's card and give the window that opens."""
    card = find_card(page, session)
    with page.context.expect_page() as opened:
        card.get_by_role("button", name="Connect to the chat").click()
    opened.value.wait_for_load_state()
    return opened.value


def find_card(page: Page, session: LaunchedSession) -> Locator:
    page.goto(SESSIONS_PATH)
    card = page.locator(f"#id_{session.id}")
    card.wait_for()
    return card

"""An engine that dies while it starts: the page says why, in the words of its log."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.end_to_end.launched_session import Launched
from tests.end_to_end.portal_pages import connect


def test_the_page_of_a_damaged_model_shows_the_deciding_line(page: Page, launched: Launched) -> None:
    session = launched.dead
    state = session.wait_until("failed")
    failed = connect(page, session)
    expect(failed.get_by_role("heading", name="The engine has failed")).to_be_visible()
    line = failed.locator(".log-line").inner_text()
    assert line == state["deciding_line"]
    assert "weights" in line
    assert line in session.outside(session.staged_root / "vllm.log").read_text()
    expect(failed.get_by_text(state["cause"])).to_be_visible()
    failed.close()


def test_the_page_of_a_model_that_is_not_there_says_so_before_vllm_starts(page: Page, launched: Launched) -> None:
    session = launched.absent
    state = session.wait_until("failed")
    assert "is not in the cache" in state["cause"]
    assert (state["steps"][0]["title"], state["steps"][0]["status"]) == ("Download the model", "failed")
    failed = connect(page, session)
    expect(failed.get_by_text(state["cause"])).to_be_visible()
    failed.close()


def test_the_job_of_a_dead_engine_still_holds_no_engine_process(launched: Launched) -> None:
    launched.dead.wait_until("failed")
    assert not [command for command in launched.dead.list_processes() if "vllm serve" in command]

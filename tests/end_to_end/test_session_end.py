"""The ends of sessions on one node: deleted, cancelled, out of time. This file comes last, since it ends them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.cluster.slurm_cluster import SlurmCluster
from tests.end_to_end.http_client import HttpClient
from tests.end_to_end.launched_session import Launched, LaunchedSession, wait_for
from tests.end_to_end.portal_pages import find_card
from tests.end_to_end.tiny_reply import GREETING, HELLO


def answers(client: HttpClient, session: LaunchedSession) -> bool:
    key = session.endpoint["api_key"]
    answer = client.post_json(session.host, session.port, "/v1/chat/completions", HELLO, Authorization=f"Bearer {key}")
    return bool(answer.json["choices"][0]["message"]["content"] == GREETING)


def assert_nothing_is_left(session: LaunchedSession, cluster: SlurmCluster) -> None:
    wait_for("the processes to end", lambda: not session.list_processes(), 15, session.explain)
    assert not session.outside(session.runtime_dir).exists()
    listening = cluster.check(["ss", "-Htln"], node=session.host)
    assert f":{session.port} " not in listening


def test_two_sessions_run_on_one_node_and_each_answers(launched: Launched, alice: HttpClient) -> None:
    main, second = launched.main.wait_until_ready(), launched.second.wait_until_ready()
    assert main.host == second.host
    assert main.port != second.port
    assert main.runtime_dir != second.runtime_dir
    assert main.endpoint["api_key"] != second.endpoint["api_key"]
    assert answers(alice, main)
    assert answers(alice, second)


def test_the_key_of_one_session_does_not_open_the_other(launched: Launched, alice: HttpClient) -> None:
    second = launched.second.wait_until_ready()
    key = launched.main.endpoint["api_key"]
    assert alice.get(second.host, second.port, "/v1/models", Authorization=f"Bearer {key}").status == 401


def test_delete_on_the_card_ends_all_of_a_session_and_drops_the_card(
    launched: Launched, cluster: SlurmCluster, page: Page
) -> None:
    """The card of one whose engine has failed: its job and its page go on until somebody ends them."""
    dead = launched.dead
    dead.wait_until("failed")
    assert dead.list_processes()
    find_card(page, dead).get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Session was successfully deleted.")).to_be_visible()
    expect(page.locator(f"#id_{dead.id}")).to_have_count(0)
    assert cluster.wait_for_job_end(dead.job_id, timeout_s=30) == "CANCELLED"
    assert_nothing_is_left(dead, cluster)


def test_scancel_ends_all_of_one_session_and_nothing_of_the_other(
    launched: Launched, cluster: SlurmCluster, alice: HttpClient, page: Page
) -> None:
    main, second = launched.main.wait_until_ready(), launched.second.wait_until_ready()
    assert second.runtime_dir
    assert len(second.list_processes()) >= 3
    cluster.check(["scancel", second.job_id], user="alice")
    assert cluster.wait_for_job_end(second.job_id, timeout_s=30) == "CANCELLED"
    assert_nothing_is_left(second, cluster)
    assert answers(alice, main)
    outcome = second.read_outcome()
    assert outcome["reason"] == "The session was cancelled."
    card = find_card(page, second)
    expect(card.locator(".session-completed")).to_contain_text("The session was cancelled.")
    expect(card.locator(".session-completed")).to_contain_text(f"{outcome['su_used']:.2f} SU")


def test_the_time_limit_ends_all_of_a_session_and_the_card_says_so(
    launched: Launched, cluster: SlurmCluster, page: Page
) -> None:
    main = launched.main.wait_until_ready()
    assert main.runtime_dir
    # Older than a minute by now, so that the new limit is over at once or nearly so.
    cluster.check(["scontrol", "update", f"JobId={main.job_id}", "TimeLimit=1"], user="alice")
    assert cluster.wait_for_job_end(main.job_id, timeout_s=110) == "TIMEOUT"
    assert_nothing_is_left(main, cluster)
    outcome = main.read_outcome()
    assert outcome["reason"] == "The time limit of the job was reached."
    used_s = outcome["ended_at"] - outcome["started_at"]
    assert outcome["su_used"] == pytest.approx(used_s / 3600 * outcome["su_estimate"], abs=0.02)
    card = find_card(page, main)
    expect(card.locator(".session-completed")).to_contain_text("The time limit of the job was reached.")
    expect(card.locator(".session-completed")).to_contain_text(f"{outcome['su_used']:.2f} SU")

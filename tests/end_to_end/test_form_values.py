"""What a hostile or mistaken value of the form does on its real way to sbatch: it stays data."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.cluster.slurm_cluster import SlurmCluster
from tests.end_to_end.cluster_portal import ClusterPortal
from tests.end_to_end.portal_pages import submit_form

MARK = "/run/tmp/executed"
HOSTILE = [
    pytest.param(f"$(touch {MARK})", id="shell"),
    pytest.param(f"'; touch {MARK}; '", id="shell quote"),
    pytest.param(f"<%= `touch {MARK}` %>", id="erb"),
    pytest.param("x\"\nscript:\n  native: ['--wrap=touch " + MARK + "']", id="yaml"),
    pytest.param("--wrap=true", id="option"),
    pytest.param("<img src=x onerror=alert(1)>", id="html"),
]


def count_jobs(cluster: SlurmCluster) -> int:
    return len(cluster.check(["squeue", "-h", "--states=all"]).splitlines())


def set_value(page: Page, name: str, value: str) -> None:
    """Set a field past the browser's own checks, as a program that posts the form would."""
    page.evaluate(
        """([name, value]) => {
            const old = document.getElementById('batch_connect_session_context_' + name);
            const field = document.createElement('textarea');
            field.name = old.name;
            field.value = value;
            old.replaceWith(field);
        }""",
        [name, value],
    )


@pytest.mark.parametrize("field", ["bc_account", "bc_num_hours"])
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_refused_in_one_sentence_and_nothing_runs(
    page: Page, portal: ClusterPortal, cluster: SlurmCluster, field: str, value: str
) -> None:
    page.goto("/pun/sys/dashboard/batch_connect/sys/llm_hoster/session_contexts/new")
    before = count_jobs(cluster)
    set_value(page, field, value)
    page.get_by_role("button", name="Launch").click()
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    assert "choose" in alert.inner_text() or "use letters" in alert.inner_text()
    assert count_jobs(cluster) == before
    assert not Path(f"/proc/{cluster.init_pid}/root{MARK}").exists()


def test_an_account_that_slurm_does_not_know_is_answered_in_slurms_words(
    page: Page, portal: ClusterPortal, cluster: SlurmCluster
) -> None:
    before = count_jobs(cluster)
    submit_form(page, bc_account="nobody-knows-it")
    expect(page.get_by_role("alert")).to_contain_text("Invalid account or account/partition combination specified")
    assert page.locator("#batch_connect_session_context_bc_account").input_value() == "nobody-knows-it"
    assert count_jobs(cluster) == before

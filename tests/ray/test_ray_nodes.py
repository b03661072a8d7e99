"""Ray alone on two nodes: who may join, what is open, and that nothing is left, however it ends."""

from __future__ import annotations

import pytest

from tests.live_engine import wait_for
from tests.ray.conftest import RayJob, RunJob

START_TIMEOUT_S = 150.0
NAMED_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def jobs(run_job: RunJob) -> tuple[RayJob, RayJob]:
    """Two at once on the same two nodes."""
    found = run_job("one"), run_job("two")
    for job in found:
        assert job.wait_for("nodes", START_TIMEOUT_S) == "nodes 2 of 2 nodes"
    return found


def test_two_jobs_share_two_nodes_each_with_a_ray_of_its_own(jobs: tuple[RayJob, RayJob]) -> None:
    for node in ("n1", "n2"):
        assert sum("/raylet/raylet " in line for line in jobs[0].processes(node)) == 2


def test_the_token_is_in_no_argument_and_readable_by_nobody_else(jobs: tuple[RayJob, RayJob]) -> None:
    cluster = jobs[0].cluster
    tokens = cluster.check(["bash", "-c", "cat /run/tmp/llmh-*/ray_token; echo"]).strip()
    assert len(tokens) == 4 * 64
    token = tokens[:64]
    assert not [line for node in ("n1", "n2") for line in jobs[0].processes(node) if token in line]
    assert cluster.check(["bash", "-c", "cat /run/tmp/llmh-*/ray_token 2>/dev/null; true"], user="bob") == ""
    # Nodes have taken it over.
    assert not (jobs[0].outside / "ray.json").exists()


def test_cancelling_one_job_leaves_nothing_of_it_and_the_other_alone(jobs: tuple[RayJob, RayJob]) -> None:
    one = jobs[0]
    one.cluster.check(["scancel", one.id], user="alice")
    one.cluster.wait_for_job_end(one.id, 40)
    for node in ("n1", "n2"):
        assert sum("/raylet/raylet " in line for line in one.processes(node)) == 1
    assert len(one.cluster.check(["bash", "-c", "ls -d /run/tmp/llmh-*"]).split()) == 2


def test_a_node_without_a_network_is_named_and_ends_by_itself(jobs: tuple[RayJob, RayJob]) -> None:
    two = jobs[1]
    before = len(two.news())
    two.cluster.check(["ip", "link", "set", "to-n2", "down"])
    failure = two.wait_for("failed", NAMED_WITHIN_S, after=before)
    assert failure.startswith("failed The node n2 was lost: it has not been heard of for "), failure
    # Nobody can tell its processes to end; they see for themselves that the first node is gone.
    wait_for(lambda: two.processes("n2") == [], f"nothing runs on n2: {two.processes('n2')}", timeout_s=40)
    two.wait_for("ended", 20, after=before)
    two.cluster.check(["ip", "link", "set", "to-n2", "up"])
    again = two.start_again()
    assert two.wait_for("nodes", START_TIMEOUT_S, after=again) == "nodes 2 of 2 nodes"


def test_a_killed_supervisor_leaves_nothing_on_either_node(jobs: tuple[RayJob, RayJob]) -> None:
    two = jobs[1]
    listing = two.cluster.check(["pgrep", "-u", "alice", "-f", f"serve_job.py {two.folder}"])
    two.cluster.check(["kill", "-KILL", *listing.split()])
    two.cluster.wait_for_job_end(two.id, 60)
    wait_for(lambda: two.left_behind() == [], "nothing is left", timeout_s=20)

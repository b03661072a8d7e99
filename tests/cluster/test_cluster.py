"""The cluster does what the end-to-end tests rely on, and leaves nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.jobs import JobRequest
from portal.slurm import SlurmJobs
from tests.cluster.account import ALICE, BOB, Account
from tests.cluster.requirement import MissingRequirementError, require_root
from tests.cluster.slurm_cluster import SlurmCluster

pytestmark = pytest.mark.slurm

AWKWARD_HOME = """/home/alice o'brien "lab\""""


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A cluster whose alice has 50 MB at a path with spaces and quotes, and a shared folder that is closed above."""
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    shared = closed / "for all"
    shared.mkdir()
    (shared / "word").write_text("readable")
    (closed / "secret").write_text("hidden")
    alice = Account(ALICE.name, ALICE.user_id, AWKWARD_HOME, home_mib=50)
    with SlurmCluster(accounts=(alice, BOB), shared=[shared]) as cluster:
        yield cluster


def submit(cluster: SlurmCluster, script: str, *options: str, user: str = "alice") -> str:
    """Submit as OnDemand does and give the job's number."""
    home = Path(cluster.accounts[user].home)
    request = JobRequest(f"{script}\n", home, "sys/dashboard/test", {"wall_time": 300, "native": list(options)})
    return SlurmJobs(cluster.command(user=user)).submit(request)


def read_home_file(cluster: SlurmCluster, name: str) -> str:
    return cluster.check(["cat", name], user="alice")


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_user_submits_a_job_to_each_node_from_an_awkward_home_folder(awkward: SlurmCluster, node: str) -> None:
    job = submit(awkward, 'echo "$(hostname) $(id -un) $PWD"', "-w", node)
    assert awkward.wait_for_job_end(job) == "COMPLETED"
    assert read_home_file(awkward, "output.log") == f"{node} alice {AWKWARD_HOME}\n"


def test_a_typed_gpu_is_given_to_the_job(awkward: SlurmCluster) -> None:
    job = submit(awkward, 'echo "$CUDA_VISIBLE_DEVICES"', "-p", "gpu", "--gres=gpu:fake:2")
    assert awkward.wait_for_job_end(job) == "COMPLETED"
    assert read_home_file(awkward, "output.log") == "0,1\n"


def test_a_step_needs_its_environment_exported_again(awkward: SlurmCluster) -> None:
    """Why the app starts its steps so: `sbatch --export NONE` leaves them no PATH."""
    # A part of the memory: the first step may still be giving its own back when the second one asks.
    script = "srun --mem 50 hostname; srun --mem 50 --export=ALL --overlap -N2 hostname | sort"
    job = submit(awkward, script, "-N2")
    assert awkward.wait_for_job_end(job) == "COMPLETED"
    output = read_home_file(awkward, "output.log")
    assert "No such file or directory" in output
    assert output.endswith("n1\nn2\n")


def test_scancel_ends_every_process_of_a_job(awkward: SlurmCluster) -> None:
    job = submit(awkward, "setsid sleep 300 & sleep 300")
    deadline = time.monotonic() + 10
    while len(awkward.pids_of("alice")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    awkward.check(["scancel", job], user="alice")
    assert awkward.wait_for_job_end(job) == "CANCELLED"
    assert awkward.pids_of("alice") == []


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (["-A", "nobody's; touch x"], "Invalid account"),
        (["-p", "no-such-partition"], "invalid partition"),
        (["--gres=gpu:h100:1"], "Requested node configuration is not available"),
        (["-t", "72:00:00"], "Requested time limit is invalid"),
    ],
)
def test_slurm_refuses_at_submit_what_a_site_would_refuse(
    awkward: SlurmCluster, options: list[str], answer: str
) -> None:
    done = awkward.run(["sbatch", *options], user="alice", input="#!/bin/bash\n")
    assert done.returncode != 0
    assert answer in done.stderr


def test_a_home_folder_is_as_small_as_asked_for(awkward: SlurmCluster) -> None:
    done = awkward.run(["sh", "-c", "head -c 60M /dev/zero > big; s=$?; rm big; exit $s"], user="alice")
    assert "No space left on device" in done.stderr


def test_a_shared_folder_below_a_closed_one_is_readable_and_nothing_beside_it(awkward: SlurmCluster) -> None:
    shared = awkward.shared[0]
    assert awkward.check(["cat", str(shared / "word")], user="bob") == "readable"
    assert awkward.run(["cat", str(shared.parent / "secret")], user="bob").returncode != 0


def test_a_user_cannot_enter_the_home_of_another(awkward: SlurmCluster) -> None:
    assert "Permission denied" in awkward.run(["ls", AWKWARD_HOME], user="bob").stderr


def test_two_clusters_run_side_by_side_and_one_that_stops_leaves_nothing(awkward: SlurmCluster) -> None:
    with SlurmCluster() as other:
        submit(other, "sleep 300")
        folder, namespace = other.folder, os.readlink(f"/proc/{other.init_pid}/ns/pid")
        assert namespace in pid_namespaces()
    assert namespace not in pid_namespaces()
    assert not folder.exists()
    assert awkward.check(["sinfo", "-h", "-o", "%D"], user="alice").split() == ["2"]


def pid_namespaces() -> set[str]:
    """List the pid namespaces of all processes that are alive now."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            found.add(os.readlink(link))
        except OSError:  # it ended meanwhile
            continue
    return found


def test_an_ordinary_user_is_told_that_the_cluster_needs_root() -> None:
    with pytest.raises(MissingRequirementError, match="needs root"):
        require_root(user_id=1000)

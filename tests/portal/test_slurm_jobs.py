"""Jobs of a non-root user on a real Slurm, submitted with OnDemand's own command line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from portal.jobs import JobError, JobRequest
from portal.slurm import SlurmJobs
from tests.cluster.plugin import slurm_cluster  # noqa: F401 - a fixture
from tests.cluster.slurm_cluster import SlurmCluster

pytestmark = pytest.mark.slurm
WORKDIR = Path('/home/alice/it\'s "mine"')


@pytest.fixture
def jobs(slurm_cluster: SlurmCluster) -> SlurmJobs:  # noqa: F811
    slurm_cluster.check(["mkdir", "-p", str(WORKDIR)], user="alice")
    return SlurmJobs(slurm_cluster.command(user="alice"))


def request(text: str, *native: str) -> JobRequest:
    options = {"wall_time": 600, "native": ["--partition=cpu", *native]}
    return JobRequest(text, WORKDIR, "ood/sys/dashboard/sys/llm_hoster", options)


def wait_for_state(jobs: SlurmJobs, job_id: str, state: str) -> None:
    deadline = time.monotonic() + 20
    while (found := jobs.info(job_id)).state != state:
        assert time.monotonic() < deadline, f"the job is {found}, not {state}"
        time.sleep(0.1)


def test_a_job_runs_and_scancel_ends_it(jobs: SlurmJobs) -> None:
    job_id = jobs.submit(request("echo here; sleep 300"))
    wait_for_state(jobs, job_id, "running")
    info = jobs.info(job_id)
    assert (len(info.nodes), info.cores, info.wallclock_limit) == (1, 1, 600)
    jobs.delete(job_id)
    wait_for_state(jobs, job_id, "completed")


def test_the_log_lies_in_the_sessions_folder_and_nothing_of_the_portal_reaches_the_job(
    jobs: SlurmJobs,
    slurm_cluster: SlurmCluster,  # noqa: F811
) -> None:
    portal = SlurmJobs(slurm_cluster.command(user="alice", env={"PORTAL_SECRET": "s"}))
    job_id = portal.submit(request('pwd; echo "[${PORTAL_SECRET-nothing}] $USER"'))
    wait_for_state(jobs, job_id, "completed")
    log = slurm_cluster.check(["cat", str(WORKDIR / "output.log")], user="alice")
    assert log == f"{WORKDIR}\n[nothing] alice\n"


def test_slurm_gets_the_very_line_of_ondemand(slurm_cluster: SlurmCluster) -> None:  # noqa: F811
    """Recorded by an sbatch that stands before the real one in PATH; the line is that of OnDemand's Slurm adapter."""
    folder = "/srv/projects/alice/bin"
    recorder = f'#!/bin/sh\nprintf \'%s\\n\' sbatch "$@" > {folder}/line\nexec /usr/bin/sbatch "$@"\n'
    program = f"mkdir -p {folder} '/home/alice/it s'; cat > {folder}/sbatch; chmod 755 {folder}/sbatch"
    slurm_cluster.check(["sh", "-c", program], user="alice", input=recorder)
    jobs = SlurmJobs([*slurm_cluster.command(user="alice", env={"PATH": f"{folder}:/usr/bin:/bin"})])
    options = {"accounting_id": "lab", "queue_name": "gpu", "wall_time": 600, "email_on_started": True}
    native = ["--gres=gpu:fake:1", "--cpus-per-task=2", "--no-requeue"]
    request = JobRequest("true", Path("/home/alice/it s"), "ood/sys/dashboard/x", options | {"native": native})
    wait_for_state(jobs, jobs.submit(request), "completed")
    assert slurm_cluster.check(["cat", f"{folder}/line"], user="alice").splitlines() == [
        "sbatch", "-D", "/home/alice/it s", "--mail-type", "BEGIN", "-J", "ood/sys/dashboard/x", "-o", "output.log",
        "-p", "gpu", "-A", "lab", "-t", "00:10:00", "--export", "NONE", *native, "--parsable",
    ]  # fmt: skip


def test_a_refusal_comes_in_sbatchs_words(jobs: SlurmJobs) -> None:
    with pytest.raises(JobError, match="invalid partition"):
        jobs.submit(request("true", "--partition=nowhere"))


def test_a_job_that_waits_is_queued(jobs: SlurmJobs) -> None:
    job_id = jobs.submit(request("true", "--hold"))
    assert jobs.info(job_id).state == "queued"
    jobs.delete(job_id)


def test_a_job_that_slurm_forgot_is_completed(jobs: SlurmJobs) -> None:
    assert jobs.info("999999").state == "completed"
    jobs.delete("999999")

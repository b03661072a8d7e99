"""Jobs through Slurm, with the very command lines that OnDemand uses."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from portal.jobs import JobError, JobInfo, JobRequest

QUEUED = {"CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
RUNNING = {"COMPLETING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT"}
UNDETERMINED = {"PREEMPTED", "REVOKED", "STOPPED", "SUSPENDED"}
SQUEUE_FORMAT = "%T|%N|%C|%M|%l"
FLAGS_BEFORE_TIME = {"reservation_id": "--reservation", "queue_name": "-p", "accounting_id": "-A"}
TIMEOUT_S = 60


def duration(seconds: int) -> str:
    """Write HH:MM:SS with as many hours as there are, as OnDemand does."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def seconds(text: str) -> int | None:
    """Read Slurm's [days-][[hours:]minutes:]seconds; None for INVALID, UNLIMITED and the like."""
    days, dash, clock = text.rpartition("-")
    try:
        total = 0
        for part in clock.split(":"):
            total = total * 60 + int(part)
        return total + (int(days) * 86400 if dash else 0)
    except ValueError:
        return None


def sbatch_arguments(request: JobRequest) -> list[str]:
    """Return the line that OnDemand runs; the job script goes to its stdin."""
    options = request.options
    arguments = ["sbatch", "-D", str(request.workdir)]
    if options.get("email"):
        arguments += ["--mail-user", str(options["email"])]
    started, terminated = options.get("email_on_started"), options.get("email_on_terminated")
    if started or terminated:
        arguments += ["--mail-type", "ALL" if started and terminated else "BEGIN" if started else "END"]
    elif started is not None and terminated is not None:
        arguments += ["--mail-type", "NONE"]
    arguments += ["-J", request.job_name, "-o", "output.log"]
    for key, flag in FLAGS_BEFORE_TIME.items():
        if options.get(key) is not None:
            arguments += [flag, str(options[key])]
    if request.wall_time_s or options.get("wall_time") is not None:
        arguments += ["-t", duration(request.wall_time_s)]
    if options.get("qos") is not None:
        arguments += ["--qos", str(options["qos"])]
    if options.get("gpus_per_node") is not None:
        arguments += ["--gpus-per-node", str(int(options["gpus_per_node"]))]
    if options.get("cores") is not None:
        arguments += ["-n", str(int(options["cores"]))]
    return [*arguments, "--export", "NONE", *request.native, "--parsable"]


class SlurmJobs:
    """`prefix` is put before each command, so that a test can run it inside a cluster's namespace as another user."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        self.prefix = [*prefix]

    def run(self, arguments: Sequence[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - a list, no shell
                [*self.prefix, *arguments], input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise JobError(str(error)) from error

    def submit(self, request: JobRequest) -> str:
        done = self.run(sbatch_arguments(request), stdin=f"#!/bin/bash\n{request.content}")
        if done.returncode != 0:
            raise JobError(done.stderr.strip() or f"sbatch ended with status {done.returncode}")
        return done.stdout.strip().split(";")[0]

    def info(self, job_id: str) -> JobInfo:
        done = self.run(["squeue", "--all", "--states=all", "--noheader", "-o", SQUEUE_FORMAT, "-j", job_id])
        if done.returncode != 0:
            known = "Invalid job id" not in done.stderr
            return JobInfo("undetermined" if known else "completed")
        fields = done.stdout.strip().split("|")
        if len(fields) != 5:
            return JobInfo("completed")
        state, nodes, cores, used, limit = fields
        return JobInfo(
            state=word_of(state),
            nodes=tuple(filter(None, [nodes])),
            cores=int(cores) if cores.isdigit() else 0,
            wallclock_time=seconds(used),
            wallclock_limit=seconds(limit),
        )

    def delete(self, job_id: str) -> None:
        done = self.run(["scancel", job_id])
        if done.returncode != 0 and "Invalid job id" not in done.stderr:
            raise JobError(done.stderr.strip())


def word_of(state: str) -> str:
    """Return OnDemand's word for Slurm's."""
    if state in QUEUED:
        return "queued"
    if state in RUNNING:
        return "running"
    return "undetermined" if state in UNDETERMINED else "completed"

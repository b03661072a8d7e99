"""Jobs as processes of this machine, for a demo without Slurm."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from portal.jobs import JobError, JobInfo, JobRequest
from portal.process import Process

LOGIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REPOSITORY = Path(__file__).parent.parent


def login_environment(home: Path | None) -> dict[str, str]:
    """Return what a job gets under `--export NONE`: a login's environment, nothing of the portal's."""
    account = pwd.getpwuid(os.getuid())
    name = account.pw_name
    folder = str(home or account.pw_dir)
    return {"HOME": folder, "USER": name, "LOGNAME": name, "SHELL": "/bin/bash", "PATH": LOGIN_PATH}


class LocalJobs:
    """Each job has a folder below `root` that names its process, so that the job outlives a restart of the portal.

    `home` is what a job gets as HOME; None is the user's own.
    """

    def __init__(self, root: Path, grace_s: float = 10.0, home: Path | None = None) -> None:
        self.root = root
        self.home = home
        self.grace_s = grace_s

    def submit(self, request: JobRequest) -> str:
        folder = self.new_folder()
        script = folder / "script"
        script.write_text(f"#!/bin/bash\n{request.content}")
        script.chmod(0o700)
        task = {
            "workdir": str(request.workdir),
            "output": str(request.workdir / "output.log"),
            "environment": login_environment(self.home),
            "limit_s": request.wall_time_s or None,
            "grace_s": self.grace_s,
        }
        (folder / "job.json").write_text(json.dumps(task))
        # The runner leaves at once and goes on as a process of its own, so there is no child to wait for.
        started = subprocess.run(  # noqa: S603 - our own file
            [sys.executable, "-m", "portal.local_job", str(folder)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if started.returncode != 0:
            raise JobError(started.stderr.decode(errors="replace").strip())
        (folder / "process").write_text(f"{Process.of(int(started.stdout))}\n")
        return folder.name

    def new_folder(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = 1 + max((int(path.name) for path in self.root.iterdir() if path.name.isdigit()), default=0)
        while True:
            try:
                (self.root / str(number)).mkdir(mode=0o700)
                return self.root / str(number)
            except FileExistsError:
                number += 1

    def info(self, job_id: str) -> JobInfo:
        process = self.process(job_id)
        if process is None or not process.alive:
            return JobInfo("completed")
        folder = self.root / job_id
        limit = json.loads((folder / "job.json").read_text())["limit_s"]
        used = int(time.time() - (folder / "process").stat().st_mtime)
        return JobInfo("running", (socket.gethostname(),), os.cpu_count() or 1, used, limit)

    def process(self, job_id: str) -> Process | None:
        """Return the process that looks after the job, or None when there is no such job."""
        if not job_id.isdigit():
            return None
        try:
            return Process.from_text((self.root / job_id / "process").read_text())
        except (OSError, ValueError):
            return None

    def delete(self, job_id: str) -> None:
        process = self.process(job_id)
        if process is not None:
            process.signal(signal.SIGTERM)

    def delete_all(self, timeout_s: float = 20.0) -> None:
        """End every job and wait until all of them have."""
        jobs = [path.name for path in self.root.iterdir()] if self.root.is_dir() else []
        for job_id in jobs:
            self.delete(job_id)
        deadline = time.monotonic() + timeout_s
        while any(self.info(job_id).state == "running" for job_id in jobs) and time.monotonic() < deadline:
            time.sleep(0.05)

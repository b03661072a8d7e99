"""Run one job of the local adapter to its end: `python -m portal.local_job FOLDER`.

It takes in the job's orphans (a subreaper), so that all of a job's processes can be found by descent, as Slurm finds
them. FOLDER/job.json says what to run; FOLDER/end.json says how it ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from portal.process import descendants_of

PR_SET_CHILD_SUBREAPER = 36
WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
LONGEST_WAIT_S = 3600.0


def descendants() -> list[int]:
    """Return the ids of all processes below this one that have not ended."""
    return [process.pid for process in descendants_of(os.getpid())[1:] if process.alive]


def signal_all(number: int) -> None:
    for pid in descendants():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def reap(job: int) -> int | None:
    """Wait for ended children; return the job's exit status once it has one."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == job:
            status = os.waitstatus_to_exitcode(ended)


def end_all(grace_s: float, job: int) -> int | None:
    """SIGTERM to every process of the job at once, SIGKILL to what is left after the grace time, as Slurm does."""
    status: int | None = None
    signal_all(signal.SIGCONT)
    signal_all(signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while True:
        ended = reap(job)
        status = status if ended is None else ended
        if not descendants():
            return status
        if time.monotonic() > deadline:
            signal_all(signal.SIGKILL)
        time.sleep(0.05)


def unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)


def watch(job: int, limit_s: float | None, grace_s: float) -> tuple[str, int | None]:
    """Wait for the first of: the job's end, its time limit, an order to stop. Nothing of it is left afterwards."""
    deadline = None if limit_s is None else time.monotonic() + limit_s
    reason, status = "", None
    while not reason:
        left = LONGEST_WAIT_S if deadline is None else deadline - time.monotonic()
        got = signal.sigtimedwait(WATCHED, max(0.0, min(left, LONGEST_WAIT_S)))
        if got is not None and got.si_signo in (signal.SIGTERM, signal.SIGINT):
            reason = "deleted"
        elif deadline is not None and time.monotonic() >= deadline:
            reason = "time limit"
        else:
            status = reap(job)
            reason = "ended" if status is not None else ""
    last = end_all(grace_s, job)
    return reason, status if last is None else last


def detach(log: Path) -> None:
    """Go on in a process of its own session and print its id; the first process ends."""
    pid = os.fork()
    if pid:
        print(pid)
        sys.exit()
    os.setsid()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def main() -> None:
    folder = Path(sys.argv[1])
    detach(folder / "runner.log")
    task = json.loads((folder / "job.json").read_text())
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with Path(task["output"]).open("ab") as output:
        job = subprocess.Popen(  # noqa: S603 - the portal's own job script
            [str(folder / "script")],
            cwd=task["workdir"],
            env=task["environment"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=unblock_signals,
        )
    reason, status = watch(job.pid, task["limit_s"], task["grace_s"])
    job.returncode = status if status is not None else -1
    if reason == "time limit":
        with Path(task["output"]).open("a") as output_text:
            output_text.write("local job: ended by its time limit\n")
    (folder / "end.json").write_text(json.dumps({"reason": reason, "status": status, "at": time.time()}))


if __name__ == "__main__":
    main()

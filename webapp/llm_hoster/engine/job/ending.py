"""The end of a session: why it came, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence

from llm_hoster.engine.job.slurm import ask_job
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.process.guard import kill_descendants

GRACE_S = 5.0
# There are five seconds for all that a session does at its end.
REASON_TIMEOUT_S = 3.0
# Slurm ends a job some seconds after its limit, never before; clocks of two machines may differ by a little.
CLOCK_SLACK_S = 2.0
# squeue's words for a job that Slurm ends for no reason of its own: somebody asked for it.
NO_REASON = {"None", "Unknown", "N/A", "(null)"}
REASON_LIMIT = 120


def reason_of_end(
    stop_signal: signal.Signals | None, cause: str | None, *, slurm_reason: str | None, ends_at: float, now: float
) -> str:
    """`cause` is a sentence of ours, when something went wrong before; `slurm_reason` is squeue's %r."""
    if stop_signal is None:
        return cause or "The session ended."
    if slurm_reason == "TimeLimit" or (slurm_reason is None and now >= ends_at - CLOCK_SLACK_S):
        end = "The time limit of the job was reached."
    elif slurm_reason is not None and slurm_reason not in NO_REASON:
        end = f"Slurm ended the job. Its reason: {slurm_reason[:REASON_LIMIT]}."
    elif "SLURM_JOB_ID" in os.environ:
        end = "The session was cancelled."
    else:
        end = f"The session was ended by the signal {stop_signal.name}."
    return f"{cause} Then: {end}" if cause else end


def ask_slurm_reason() -> str | None:
    """squeue's word for why our job ends: TimeLimit, NodeDown, or "None" when cancelled; None if it is silent."""
    job_id = os.environ.get("SLURM_JOB_ID")
    return None if job_id is None else ask_job(job_id, "%r", timeout_s=REASON_TIMEOUT_S)


def end_processes(
    children: Sequence[Child], spared: set[int], *, grace_s: float, meanwhile: Callable[[], None]
) -> None:
    """
    Ask the children to end, then make them; at last whatever descends from us in whatever session.

    `meanwhile` is called while they end; `spared` are processes of ours that must live on.
    """
    end_groups(children, grace_s=grace_s, meanwhile=meanwhile)
    kill_descendants(spared, timeout_s=2.0)


def end_groups(children: Sequence[Child], *, grace_s: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Ask the groups of the children to end, and make those that have not ended after `grace_s`."""
    _signal(children, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    meanwhile()
    _wait_for(children, deadline)
    kill_groups(children)


def kill_groups(children: Sequence[Child]) -> None:
    _signal(children, signal.SIGKILL)
    _wait_for(children, time.monotonic() + 1.0)


def _signal(children: Sequence[Child], number: signal.Signals) -> None:
    for child in children:
        child.signal_group(number)


def _wait_for(children: Sequence[Child], deadline: float) -> None:
    while time.monotonic() < deadline and not all(child.group_is_gone() for child in children):
        time.sleep(0.02)

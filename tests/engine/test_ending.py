"""Why a session ended, as the card will say it."""

import signal

import pytest

from llm_hoster.engine.job.ending import ask_slurm_reason, reason_of_end

CAUSE = "The model is broken."


@pytest.mark.parametrize(
    ("stop_signal", "cause", "slurm_reason", "now", "reason"),
    [
        pytest.param(signal.SIGTERM, None, "TimeLimit", 50, "The time limit of the job was reached.", id="squeue"),
        pytest.param(signal.SIGTERM, None, None, 100, "The time limit of the job was reached.", id="clock"),
        pytest.param(signal.SIGTERM, None, "None", 100, "The session was cancelled.", id="cancelled at the end"),
        pytest.param(signal.SIGTERM, None, None, 50, "The session was cancelled.", id="squeue silent"),
        pytest.param(signal.SIGTERM, None, "Unknown", 50, "The session was cancelled.", id="squeue does not know"),
        pytest.param(
            signal.SIGTERM, None, "NodeDown", 50, "Slurm ended the job. Its reason: NodeDown.", id="Slurm's own reason"
        ),
        pytest.param(signal.SIGTERM, CAUSE, "None", 50, f"{CAUSE} Then: The session was cancelled.", id="failed"),
        pytest.param(None, CAUSE, None, 50, CAUSE, id="by itself"),
    ],
)
def test_the_reason_of_an_end(monkeypatch, stop_signal, cause, slurm_reason, now, reason):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert reason_of_end(stop_signal, cause, slurm_reason=slurm_reason, ends_at=100, now=now) == reason


def test_squeue_is_asked_for_our_job_and_not_waited_for(monkeypatch, tmp_path):
    squeue = tmp_path / "squeue"
    squeue.write_text('#!/bin/sh\n[ "$*" = "--noheader --states=all --jobs 7 --format %r" ] && echo TimeLimit\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert ask_slurm_reason() == "TimeLimit"
    squeue.write_text("#!/bin/sh\nexec sleep 5\n")
    assert ask_slurm_reason() is None


def test_without_slurm_nobody_is_asked(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert ask_slurm_reason() is None

"""Slurm's programs, from small ones in their place."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_hoster.engine.chain import next_job
from llm_hoster.engine.chain.predecessor import Predecessor, require_wanted
from llm_hoster.engine.job.slurm import ask_job, cancel_job
from llm_hoster.engine.job.time_limit import TimeLimit
from llm_hoster.errors import SessionError

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    return write


def test_squeue_is_asked_for_one_thing_of_one_job(program: Program) -> None:
    program("squeue", 'echo " $* "')
    assert ask_job("7", "%T") == "--noheader --states=all --jobs 7 --format %T"


@pytest.mark.parametrize(
    "script", ["exit 1", "echo; exit 1", "true", "exec sleep 5"], ids=["unknown", "error", "silent", "slow"]
)
def test_no_answer_is_none(program: Program, script: str) -> None:
    program("squeue", script)
    assert ask_job("7", "%T", timeout_s=0.5) is None


def test_without_slurm_there_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_job("7", "%T") is None
    assert not cancel_job("7")


@pytest.mark.parametrize(("script", "was_taken"), [('[ "$*" = 7 ]', True), ("exit 1", False)])
def test_a_job_is_cancelled(program: Program, script: str, was_taken: bool) -> None:
    program("scancel", script)
    assert cancel_job("7") is was_taken


def test_what_a_person_has_set_for_their_own_eyes_does_not_count(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_TIME_FORMAT", "%d.%m. %H:%M")
    monkeypatch.setenv("SQUEUE_USERS", "somebody")
    program("squeue", '[ "$SLURM_TIME_FORMAT" = standard ] && [ -z "$SQUEUE_USERS" ] && echo 2030-01-02T03:04:05')
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    limit = TimeLimit(0.0, lambda: None)
    limit.look()
    assert time.strftime("%F %T", time.localtime(limit.ends_at)) == "2030-01-02 03:04:05"


@pytest.mark.parametrize("answer", ["N/A", "", "NONE", "2030"])
def test_an_end_that_slurm_does_not_know_changes_nothing(
    program: Program, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    program("squeue", f"echo '{answer}'")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    limit = TimeLimit(5.0, lambda: None)
    limit.look()
    assert limit.ends_at == 5.0


def test_who_comes_after_a_job_that_was_cancelled_is_not_wanted(program: Program, tmp_path: Path) -> None:
    before = Predecessor(str(tmp_path / "before"), "7", 1, "key")
    program("squeue", "echo COMPLETED")
    require_wanted(tmp_path, before)
    program("squeue", "echo CANCELLED")
    with pytest.raises(SessionError, match="It was cancelled"):
        require_wanted(tmp_path, before)


@pytest.fixture
def next_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "next"
    folder.mkdir()
    options = {"job_name": "x", "workdir": str(folder), "wall_time": 3600, "native": []}
    (folder / "job_script_options.json").write_text(json.dumps(options))
    (folder / "job_script_content.sh").write_text("true\n")
    return folder


@pytest.mark.parametrize(
    ("script", "job_id"),
    [("echo 8", "8"), ("echo '8;cluster'", "8"), ("echo 'Your balance: 5 SU'; echo 8", "8")],
    ids=["plain", "with its cluster", "after a notice"],
)
def test_the_number_of_a_job_is_taken_from_sbatch(
    program: Program, next_folder: Path, script: str, job_id: str
) -> None:
    program("sbatch", script)
    assert next_job.submit(next_folder, "7", 5) == job_id


@pytest.mark.parametrize("script", ["true", "echo queued", "echo ٣"], ids=["nothing", "a word", "another script"])
def test_what_is_no_number_of_a_job_is_refused(program: Program, next_folder: Path, script: str) -> None:
    """Such a job could never be cancelled."""
    program("sbatch", script)
    with pytest.raises(SessionError, match="expected the number of a job"):
        next_job.submit(next_folder, "7", 5)

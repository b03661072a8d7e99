"""Jobs as processes of this machine end completely, whatever they started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.jobs import JobRequest
from portal.local import LocalJobs
from portal.process import Process


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[LocalJobs]:
    found = LocalJobs(tmp_path / "jobs", grace_s=0.5, home=tmp_path)
    yield found
    found.delete_all()


def submit(jobs: LocalJobs, folder: Path, text: str, **options: object) -> str:
    return jobs.submit(JobRequest(text, folder, "name", options))


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 10
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.02)
    return path.read_text()


def wait_until_completed(jobs: LocalJobs, job_id: str) -> None:
    deadline = time.monotonic() + 15
    while jobs.info(job_id).state != "completed":
        assert time.monotonic() < deadline, "the job goes on"
        time.sleep(0.02)


def processes_in(path: Path) -> list[Process]:
    return [Process.of(int(word)) for word in wait_for(path).split()]


def test_a_job_runs_in_its_folder_and_writes_the_log(jobs: LocalJobs, tmp_path: Path) -> None:
    job_id = submit(jobs, tmp_path, "pwd; echo wrong >&2")
    wait_until_completed(jobs, job_id)
    assert (tmp_path / "output.log").read_text() == f"{tmp_path}\nwrong\n"


def test_a_job_gets_a_logins_environment_and_nothing_of_the_portals(
    jobs: LocalJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_SECRET", "s")
    wait_until_completed(jobs, submit(jobs, tmp_path, "compgen -e"))
    names = set((tmp_path / "output.log").read_text().split())
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"HOME", "USER", "LOGNAME", "SHELL", "PATH"}


def test_a_running_job_tells_its_time(jobs: LocalJobs, tmp_path: Path) -> None:
    info = jobs.info(submit(jobs, tmp_path, "sleep 60", wall_time=3600))
    assert (info.state, info.wallclock_limit) == ("running", 3600)


def test_delete_ends_all_processes_those_in_sessions_of_their_own_too(jobs: LocalJobs, tmp_path: Path) -> None:
    child = "bash -c 'echo $$ >> pids; exec sleep 60'"
    text = f'bash -c "{child} & setsid {child} & ({child} &) ; wait" & wait'
    job_id = submit(jobs, tmp_path, text.replace("$$", "\\$\\$"))
    while len(processes := processes_in(tmp_path / "pids")) < 3:
        time.sleep(0.02)
    jobs.delete(job_id)
    wait_until_completed(jobs, job_id)
    assert not any(process.alive for process in processes)


def test_delete_asks_first_and_gives_time(jobs: LocalJobs, tmp_path: Path) -> None:
    job_id = submit(jobs, tmp_path, "trap 'echo asked; exit' TERM; echo up > up; sleep 60 & wait")
    wait_for(tmp_path / "up")
    jobs.delete(job_id)
    wait_until_completed(jobs, job_id)
    assert (tmp_path / "output.log").read_text() == "asked\n"


def test_what_does_not_listen_is_killed_after_the_grace_time(jobs: LocalJobs, tmp_path: Path) -> None:
    job_id = submit(jobs, tmp_path, "trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done")
    (process,) = processes_in(tmp_path / "pid")
    began = time.monotonic()
    jobs.delete(job_id)
    wait_until_completed(jobs, job_id)
    assert not process.alive
    assert time.monotonic() - began >= 0.5


def test_the_time_limit_ends_a_job(jobs: LocalJobs, tmp_path: Path) -> None:
    job_id = submit(jobs, tmp_path, "(setsid sleep 60 & echo $! > pid); sleep 60", wall_time=1)
    (process,) = processes_in(tmp_path / "pid")
    wait_until_completed(jobs, job_id)
    assert not process.alive
    assert "time limit" in (tmp_path / "output.log").read_text()


def test_what_a_job_leaves_behind_ends_with_it(jobs: LocalJobs, tmp_path: Path) -> None:
    job_id = submit(jobs, tmp_path, "setsid sleep 60 & echo $! > pid; until [ -e seen ]; do sleep 0.05; done")
    (process,) = processes_in(tmp_path / "pid")
    (tmp_path / "seen").touch()
    wait_until_completed(jobs, job_id)
    assert not process.alive


def test_a_job_outlives_the_portal_and_is_found_again(jobs: LocalJobs, tmp_path: Path) -> None:
    job_id = submit(jobs, tmp_path, "sleep 60")
    again = LocalJobs(jobs.root)
    assert again.info(job_id).state == "running"
    again.delete(job_id)
    wait_until_completed(again, job_id)


def test_a_process_id_that_was_given_to_another_is_no_job(jobs: LocalJobs, tmp_path: Path) -> None:
    job_id = submit(jobs, tmp_path, "true")
    wait_until_completed(jobs, job_id)
    (jobs.root / job_id / "process").write_text(f"{Process.of(1).pid} 1234567890\n")
    assert jobs.info(job_id).state == "completed"
    jobs.delete(job_id)


@pytest.mark.parametrize("job_id", ["", "99", "../1", "x"])
def test_an_unknown_job_is_completed(jobs: LocalJobs, job_id: str) -> None:
    assert jobs.info(job_id).state == "completed"

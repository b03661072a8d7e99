"""`python -m portal demo` as a person starts and ends it; no model is served here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from portal.jobs import JobRequest
from portal.local import LocalJobs
from portal.process import Process, descendants_of
from tests.conftest import REPOSITORY

SHOW_TIMEOUT_S = 40


class Demo:
    """A running demo: its process, and what it printed."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": f"{REPOSITORY / 'webapp'}:{REPOSITORY}"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portal", "demo", "--folder", str(folder)],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.text = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line
            if "Ctrl-C" in line:
                break

    def word(self, pattern: str) -> str:
        found = re.search(pattern, self.text)
        assert found is not None, self.text
        return found[1]

    def status(self) -> int:
        login = (self.word(r"user name\s+(\S+)"), self.word(r"password\s+(\S+)"))
        return requests.get(self.word(r"(http\S+)"), auth=login, timeout=10).status_code

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Demo]]:
    demos: list[Demo] = []

    def start_one() -> Demo:
        demos.append(Demo(tmp_path / "de mo"))
        return demos[-1]

    yield start_one
    for demo in demos:
        demo.end(signal.SIGINT)


def test_the_demo_prints_an_address_that_answers_and_ends_with_everything(start: Callable[[], Demo]) -> None:
    demo = start()
    assert demo.status() == 200
    children = descendants_of(demo.process.pid)
    demo.end(signal.SIGINT)
    assert demo.process.returncode == 0
    assert len(children) > 2
    assert not any(process.alive for process in children)


def test_a_second_demo_says_that_one_runs(start: Callable[[], Demo]) -> None:
    start()
    second = start()
    assert second.process.wait(timeout=SHOW_TIMEOUT_S) == 1
    assert "A demo runs already" in second.text


def test_what_a_killed_demo_left_is_ended_by_the_next(start: Callable[[], Demo], tmp_path: Path) -> None:
    killed = start()
    children = [process for process in descendants_of(killed.process.pid) if process.pid != killed.process.pid]
    sleeper = submit_sleeper(tmp_path / "de mo")
    killed.end(signal.SIGKILL)
    assert any(process.alive for process in children)
    assert start().status() == 200
    deadline = time.monotonic() + 10
    while any(process.alive for process in (*children, sleeper)):
        assert time.monotonic() < deadline, "something of the killed demo is left"
        time.sleep(0.05)


def submit_sleeper(folder: Path) -> Process:
    """Start a job in the demo's folder, as a Launch would."""

    jobs = LocalJobs(folder / "data" / "local_jobs")
    process = jobs.process(jobs.submit(JobRequest("sleep 300", folder, "sleeper", {})))
    assert process is not None
    return process

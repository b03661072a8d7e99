"""The pages' process when it dies, hangs or does not come up, with a small program in the pages' place."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.engine.supervision import web_process
from llm_hoster.engine.supervision.web_process import WebProcess
from tests.engine.conftest import wait_until

# It does not come up as long as the file `hold` is there, and has no time for /healthz as long as `busy` is.
PAGES = """
import os, time

while os.path.exists("hold"):
    time.sleep(0.02)

def application(environment, start_response):
    while environment["PATH_INFO"] == "/healthz" and os.path.exists("busy"):
        time.sleep(0.02)
    start_response("204 No Content", [])
    return [b""]
"""


class Pages:
    def __init__(self, folder: Path, **times: float) -> None:
        self.hold = folder / "hold"
        self.busy = folder / "busy"
        self.handed_over = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.web = WebProcess(
            self.listener, folder / "settings.json", folder / "web.log", cwd=folder, hand_over=self._count, **times
        )

    def start(self) -> None:
        self.web.start(lambda: None)

    def _count(self) -> None:
        self.handed_over += 1

    def look_until(self, condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        def look() -> object:
            self.web.look()
            self.web.hand_over_once()
            return condition()

        wait_until(look, timeout_s)

    def do_answer(self, path: str = "/healthz") -> bool:
        with socket.create_connection(self.listener.getsockname(), timeout=0.5) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            try:
                return b"204" in connection.recv(100)
            except OSError:
                return False

    def end(self) -> None:
        self.web.child.signal_group(signal.SIGKILL)
        wait_until(self.web.child.group_is_gone)
        self.listener.close()


@pytest.fixture
def make_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pages]]:
    (tmp_path / "small_pages.py").write_text(PAGES)
    monkeypatch.setattr(web_process, "APPLICATION", "small_pages:application")
    made: list[Pages] = []

    def make(**times: float) -> Pages:
        made.append(Pages(tmp_path, **times))
        return made[-1]

    yield make
    for pages in made:
        pages.end()


def test_pages_that_never_answer_end_the_session(make_pages: Callable[..., Pages]) -> None:
    pages = make_pages(answer_timeout_s=0.5)
    pages.hold.touch()
    pages.start()
    pages.look_until(lambda: pages.web.cause_of_end)
    assert pages.web.cause_of_end is not None and "did not answer as it should" in pages.web.cause_of_end
    assert pages.handed_over == 0


def test_pages_that_do_not_come_back_at_once_are_given_another_try(
    make_pages: Callable[..., Pages], capsys: pytest.CaptureFixture[str]
) -> None:
    """The node may have been busy: a session that has served for hours does not end by it."""
    pages = make_pages(answer_timeout_s=1.5)
    pages.start()
    pages.look_until(lambda: pages.handed_over)
    first = pages.web.child.pid
    assert pages.web.due_at() is None
    pages.hold.touch()
    os.killpg(first, signal.SIGKILL)
    pages.look_until(lambda: pages.web.child.pid != first)
    second = pages.web.child.pid

    pages.look_until(lambda: pages.web.due_at() is not None)
    due_at = pages.web.due_at()
    assert due_at is not None and 2.0 < due_at - time.time() <= 3.0
    pages.hold.unlink()
    pages.look_until(lambda: pages.web.child.pid != second)
    assert time.time() >= due_at - 0.01
    pages.look_until(pages.do_answer)
    assert (pages.web.cause_of_end, pages.handed_over) == (None, 1)
    said = capsys.readouterr().out
    assert "The chat page's server ended by itself" in said and "The chat page's server did not answer any more" in said


def test_pages_that_die_again_and_again_are_given_up(make_pages: Callable[..., Pages]) -> None:
    pages = make_pages()
    pages.start()
    pages.look_until(lambda: pages.handed_over)
    for _ in range(4):
        last = pages.web.child.pid
        os.killpg(last, signal.SIGKILL)
        # The waiting times of the policy have tests of their own.
        pages.web._start_at = None
        pages.look_until(lambda: pages.web.due_at() is not None or pages.web.cause_of_end)
        if pages.web.cause_of_end is None:
            pages.web._start_at = time.monotonic()
            pages.look_until(lambda last=last: pages.web.child.pid != last)  # type: ignore[misc]
    assert pages.web.cause_of_end is not None and "ended by itself (exit status -9)" in pages.web.cause_of_end


def test_pages_that_stop_answering_are_started_again(make_pages: Callable[..., Pages]) -> None:
    pages = make_pages(answer_timeout_s=2.0, ask_interval_s=0.1)
    pages.start()
    pages.look_until(lambda: pages.handed_over)
    pages.web._answer_timeout_s = 0.3
    stuck = pages.web.child.pid
    os.killpg(stuck, signal.SIGSTOP)
    pages.look_until(lambda: pages.web.child.pid != stuck)
    pages.look_until(pages.do_answer)
    assert pages.web.cause_of_end is None


def test_pages_that_are_slow_for_a_moment_are_left_alone(make_pages: Callable[..., Pages]) -> None:
    pages = make_pages(answer_timeout_s=2.0, ask_interval_s=0.1)
    pages.start()
    pages.look_until(lambda: pages.handed_over)
    pages.web._answer_timeout_s = 0.4
    pid = pages.web.child.pid
    for _ in range(4):
        os.killpg(pid, signal.SIGSTOP)
        time.sleep(0.6)
        os.killpg(pid, signal.SIGCONT)
        pages.look_until(pages.do_answer)
        time.sleep(0.2)
        pages.web.look()
    assert pages.web.child.pid == pid and not pages.web._run.is_silent


def test_pages_whose_threads_are_all_at_work_are_left_alone(make_pages: Callable[..., Pages]) -> None:
    """Each stream holds a thread. To start again would end every answer that is being written."""
    pages = make_pages(answer_timeout_s=2.0, ask_interval_s=0.1)
    pages.start()
    pages.look_until(lambda: pages.handed_over)
    pages.web._answer_timeout_s = 0.3
    pages.busy.touch()
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        assert pages.do_answer("/other")
        time.sleep(0.05)
    assert not pages.web._run.is_silent
    pages.busy.unlink()


def test_pages_that_cannot_be_started_are_tried_again(
    make_pages: Callable[..., Pages], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job may have no process left for a moment."""
    pages = make_pages()
    pages.start()
    pages.look_until(lambda: pages.handed_over)
    first = pages.web.child.pid
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/program")
        os.killpg(first, signal.SIGKILL)
        pages.look_until(lambda: (pages.web.due_at() or 0) > time.time() + 1)
    pages.web._start_at = time.monotonic()
    pages.look_until(lambda: pages.web.child.pid != first)
    pages.look_until(pages.do_answer)
    assert pages.web.cause_of_end is None


def test_a_late_word_about_pages_that_are_gone_does_not_count(make_pages: Callable[..., Pages]) -> None:
    """The first request to those that came after them is still waiting when they are found silent."""
    pages = make_pages(answer_timeout_s=3.5)
    pages.start()
    pages.look_until(lambda: pages.handed_over)
    pages.hold.touch()
    for _ in range(2):
        last = pages.web.child.pid
        os.killpg(last, signal.SIGKILL)
        pages.look_until(lambda last=last: pages.web.child.pid != last)  # type: ignore[misc]
    third = pages.web.child.pid
    # The second ones were asked 3 s before the third were started.
    time.sleep(1.0)
    pages.web.look()
    assert pages.web.child.pid == third and pages.web.child.is_running
    pages.hold.unlink()
    pages.look_until(pages.do_answer)
    assert pages.web.child.pid == third

"""A session that nobody asks ends by itself: a real supervisor, with figures of a small program's or of vLLM's own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_hoster.engine.record.order import Order, give
from llm_hoster.engine.record.state import read_state
from llm_hoster.engine.supervision.activity import idle_sentence
from llm_hoster.engine.vllm.connection import EngineCall
from tests.engine.conftest import wait_until
from tests.live_engine import LiveEngine

IDLE_S = 1.5

# Answers like vLLM on its socket; the figures are the content of a file, so that the test can change them.
TELLS_FIGURES = """
import http.server, socketserver, sys
_, socket_path, figures = sys.argv

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(figures, "rb").read() if self.path == "/metrics" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

print("INFO:     Application startup complete.", flush=True)
socketserver.UnixStreamServer(socket_path, Handler).serve_forever()
"""

# Answers questions, and counts them.
COUNTS = """
import http.server, socketserver, sys
_, socket_path, _ = sys.argv
asked = 0

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(f"vllm:num_requests_running 0.0\\nvllm:request_success_total {asked}\\n")

    def do_POST(self):
        global asked
        asked += 1
        self.answer("{}")

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def address_string(self):
        return "unix"

print("INFO:     Application startup complete.", flush=True)
socketserver.UnixStreamServer(socket_path, Handler).serve_forever()
"""

# Speaks for a while, and then no more, and never serves.
SAYS_NOTHING = """
import time
for _ in range(4):
    print("INFO:     Still loading.", flush=True)
    time.sleep(0.4)
time.sleep(600)
"""

# Puts a vLLM that runs already in its place.
STANDS_FOR_VLLM = """
import os, sys, time
_, socket_path, running = sys.argv
os.symlink(running, socket_path)
print("INFO:     Application startup complete.", flush=True)
time.sleep(600)
"""


class Supervised:
    def __init__(self, folder: Path, runtime_dir: Path, times: list[float], program: str, argument: Path) -> None:
        self.runtime_dir = runtime_dir / "llmh-x"
        self.outcome = folder / "outcome.json"
        self.log = folder / "output.log"
        arguments = [self.runtime_dir, self.outcome, *times]
        command = [*arguments, sys.executable, "-c", program, self.runtime_dir / "vllm.sock", argument]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.engine.supervise", *map(str, command)], stdout=log, stderr=log
            )

    def wait_until_ready(self) -> float:
        """Give the time at which it was."""
        state_path = self.runtime_dir / "state.json"
        wait_until(lambda: state_path.exists() and read_state(state_path).state == "ready")
        ready_at = read_state(state_path).ready_at
        assert ready_at is not None
        return ready_at

    def is_running_after(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def reason(self) -> str:
        return str(json.loads(self.outcome.read_text())["reason"])


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    path = tmp_path / "figures"
    write_figures(path)
    return path


@pytest.fixture
def supervise(tmp_path: Path, short_dir: Path) -> Iterator[object]:
    started: list[Supervised] = []

    def start(
        program: str, argument: Path, idle_s: float = IDLE_S, hang_s: float = 180.0, silent_start_s: float = 60.0
    ) -> Supervised:
        started.append(Supervised(tmp_path, short_dir, [idle_s, hang_s, silent_start_s], program, argument))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGTERM)
            each.process.wait(20)


ENDED = 'request_success_total{engine="0",finished_reason="stop"}'


def write_figures(path: Path, **values: float) -> None:
    """Write as vLLM does, among other figures."""
    known = {
        "num_requests_running": 0.0, "num_requests_waiting": 0.0, "prompt_tokens_total": 0.0,
        "generation_tokens_total": 0.0, ENDED: 0.0,
    }  # fmt: skip
    lines = ["# HELP vllm:prompt_tokens_total Tokens.", "vllm:kv_cache_usage_perc 0.5", "python_info 1.0"]
    for name, value in (known | values).items():
        labels = "" if "{" in name else '{engine="0",model_name="a {b} c"}'
        lines.append(f"vllm:{name}{labels} {value}")
    path.with_suffix(".new").write_text("\n".join(lines) + "\n")
    path.with_suffix(".new").replace(path)


def test_a_session_that_nobody_asks_ends_and_says_so(supervise, figures):
    session = supervise(TELLS_FIGURES, figures)
    ready_at = session.wait_until_ready()
    assert session.process.wait(20) == 0
    assert IDLE_S <= time.time() - ready_at < IDLE_S + 6
    assert session.reason() == "No question for 0.025 minutes: the session stopped by itself, to spare your allocation."
    assert "ready -> stopping" in session.log.read_text()
    assert not session.runtime_dir.exists()


@pytest.mark.parametrize("name", ["num_requests_running", "num_requests_waiting"])
def test_a_request_that_runs_or_waits_keeps_the_session(supervise, figures, name):
    write_figures(figures, **{name: 1.0})
    session = supervise(TELLS_FIGURES, figures)
    session.wait_until_ready()
    assert session.is_running_after(IDLE_S * 2)
    write_figures(figures)
    ended_at = time.time()
    assert session.process.wait(20) == 0
    assert time.time() - ended_at >= IDLE_S * 0.7  # It has looked for the last time a quarter of the time before.


def test_requests_too_short_to_be_seen_keep_the_session(supervise, figures):
    session = supervise(TELLS_FIGURES, figures)
    session.wait_until_ready()
    for count in range(1, 6):
        write_figures(figures, **{ENDED: float(count)})
        assert session.is_running_after(IDLE_S / 2)
    assert session.process.wait(20) == 0


@pytest.mark.parametrize("text", ["", "<html>", "vllm:other 1.0\n"])
def test_who_cannot_tell_does_not_stop(supervise, figures, text):
    figures.write_text(text)
    session = supervise(TELLS_FIGURES, figures)
    session.wait_until_ready()
    assert session.is_running_after(IDLE_S * 2)
    assert session.log.read_text().count("vLLM does not tell whether it is asked") == 1


def test_people_are_told_before_the_end_and_a_word_is_enough_to_stay(supervise, figures):
    session = supervise(TELLS_FIGURES, figures)
    session.wait_until_ready()
    state_path = session.runtime_dir / "state.json"
    assert read_state(state_path).idle_ends_at is None
    wait_until(lambda: read_state(state_path).idle_ends_at is not None)
    ends_at = read_state(state_path).idle_ends_at
    assert ends_at is not None and 0 < ends_at - time.time() < IDLE_S
    give(session.runtime_dir / "control.sock", Order("stay"))
    assert read_state(state_path).idle_ends_at is None
    assert session.is_running_after(ends_at - time.time() + 0.2)
    assert session.process.wait(20) == 0


def test_our_own_questions_do_not_keep_a_session(supervise, figures):
    """It is asked every second here whether it lives, and counts these questions as all others."""
    session = supervise(COUNTS, figures, idle_s=5.0, hang_s=3.0)
    ready_at = session.wait_until_ready()
    assert session.process.wait(20) == 0
    assert 5.0 <= time.time() - ready_at < 12.0


def test_a_start_that_says_nothing_any_more_is_a_failure(supervise, figures):
    began = time.time()
    session = supervise(SAYS_NOTHING, figures, silent_start_s=1.2)
    state_path = session.runtime_dir / "state.json"
    wait_until(lambda: state_path.exists() and read_state(state_path).state == "failed")
    state = read_state(state_path)
    assert state.cause == "vLLM has said nothing for 0.02 minutes while it started."
    # What it says in between counts.
    assert state.transitions[0].at - began > 2.0


def test_without_a_time_it_stays(supervise, figures):
    session = supervise(TELLS_FIGURES, figures, idle_s=0)
    session.wait_until_ready()
    assert session.is_running_after(IDLE_S * 1.5)


def test_the_form_says_after_how_many_minutes(start_session, figures):
    program = TELLS_FIGURES.replace(
        "_, socket_path, figures = sys.argv",
        f"socket_path, figures = sys.argv[sys.argv.index('--uds') + 1], {str(figures)!r}",
    )
    session = start_session(program, context={"idle_minutes": "90"})
    session.wait_for_state("ready")
    wait_until(lambda: "the session ends by itself after 90 minutes without a question" in session.output.read_text())


def test_the_sentence_counts_in_minutes():
    assert idle_sentence(60).startswith("No question for 1 minute: ")
    assert idle_sentence(3600).startswith("No question for 60 minutes: ")


@pytest.mark.engine
def test_vllm_itself_tells_whether_it_is_asked(supervise, live_engine: LiveEngine):
    """Long answers one after the other, the last of which its reader leaves: that is over then, too."""
    idle_s = 4.0
    session = supervise(STANDS_FOR_VLLM, live_engine.socket_path, idle_s=idle_s)
    ready_at = session.wait_until_ready()
    while time.time() - ready_at < idle_s * 1.5:
        ask(live_engine)
    assert session.process.poll() is None
    ask(live_engine, leaves=True)
    left_at = time.time()
    assert session.process.wait(20) == 0
    # It has looked for the last time a quarter of the time before, or a little earlier while vLLM was busy.
    assert time.time() - left_at >= idle_s * 0.5
    assert session.reason().startswith("No question for 0.0666667 minutes: ")


def ask(engine: LiveEngine, *, leaves: bool = False) -> None:
    body = {"model": "tiny", "prompt": "Count.", "max_tokens": 1900, "ignore_eos": True, "stream": True}
    call = EngineCall(engine.socket_path)
    call.send("POST", "/v1/completions", body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    answer = call.response()
    assert answer is not None
    for chunk in answer.stream(64):
        assert chunk
        if leaves:
            break
    call.close()

"""`llm-hoster serve` with small programs in vLLM's place that behave as vLLM does on its worst days."""

from __future__ import annotations

import json
import os
import signal
import stat
import urllib.request

import pytest

from tests.engine.conftest import RunningSession, wait_until

SLEEPER = "import time; time.sleep(600)"

TRACEBACK = """
import sys
print("Traceback (most recent call last):")
sys.exit("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`")
"""

# Neither it nor its grandchild, which has left its session, ends when asked.
DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
time.sleep(600)
"""

# Answers /health like vLLM, then dies as vLLM does when its engine core was killed: with exit status 0.
DIES_WHEN_READY = """
import os, socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[sys.argv.index("--uds") + 1])
listener.listen()
print("INFO:     Application startup complete.", flush=True)
connection, _ = listener.accept()
connection.recv(4096)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
connection.close()
time.sleep(1)
print("Worker proc VllmWorker-0 died unexpectedly (exit code: -9)", flush=True)
"""


def status_of(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        return int(answer.status)


def assert_nothing_is_left(session) -> None:
    wait_until(lambda: not session.processes(), timeout_s=5)
    assert list(session.node_dir.iterdir()) == []


def test_the_page_answers_while_vllm_still_starts(start_session):
    session = start_session(SLEEPER)
    port = session.wait_for_port()
    assert status_of(port) == 204
    assert session.state().state == "starting"
    assert [(step.name, step.status) for step in session.state().steps][:2] == [
        ("start", "running"),
        ("weights", "waiting"),
    ]


def test_the_card_tells_where_the_session_is_and_no_secret(start_session):
    session = start_session(SLEEPER)
    port = session.wait_for_port()
    assert session.card() == {
        "host": "localhost",
        "port": port,
        "base_url": f"http://localhost:{port}/v1",
        "model": "tiny",
        "endpoint_file": str(session.staged_root / "endpoint.json"),
        "connect_path": f"/rnode/localhost/{port}/login",
    }


def test_only_the_owner_can_read_what_a_session_writes(start_session):
    session = start_session(SLEEPER)
    session.wait_for_port()
    endpoint = json.loads((session.staged_root / "endpoint.json").read_text())
    assert endpoint["api_key"].startswith("sk-llmh-")
    written = ["endpoint.json", "card", "port", "vllm.log", "web.log", "outcome.json"]
    files = [session.staged_root / name for name in written] + list(session.node_dir.rglob("*"))
    assert [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_no_secret_is_in_an_argument_or_a_log(start_session):
    session = start_session(SLEEPER)
    session.wait_for_port()
    endpoint = json.loads((session.staged_root / "endpoint.json").read_text())
    seen = "".join(session.processes().values())
    for name in ("output.log", "web.log", "vllm.log", "card", "outcome.json"):
        seen += (session.staged_root / name).read_text()
    assert endpoint["api_key"] not in seen
    assert (session.staged_root / "secret").read_text() not in seen


def test_a_dead_start_is_told_by_the_page_and_ends_when_stopped(start_session):
    session = start_session(TRACEBACK)
    port = session.wait_for_port()
    state = session.wait_for_state("failed")
    assert state.cause.startswith("The model leaves no memory for conversations.")
    assert state.deciding_line.startswith("ValueError: No available memory")
    assert state.steps[0].status == "failed"
    assert state.ends_at > state.since + 800
    assert status_of(port) == 204
    assert session.stop() == 0
    assert session.outcome()["reason"] == f"{state.cause} Then: The session was ended by the signal SIGTERM."
    assert session.outcome()["deciding_line"] == state.deciding_line
    assert_nothing_is_left(session)


def test_a_dead_start_ends_the_job_after_a_while_to_spare_the_allocation(start_session):
    session = start_session(TRACEBACK, arguments=("--failed-stay", "1"))
    assert session.process.wait(timeout=20) == 1
    assert session.outcome()["reason"].startswith("The model leaves no memory for conversations.")
    assert_nothing_is_left(session)


def test_an_engine_that_is_not_installed_is_a_failed_start(start_session, tmp_path):
    session = start_session(engine={"target": str(tmp_path / "nowhere")})
    state = session.wait_for_state("failed")
    assert "nowhere/bin/vllm" in state.cause


def test_vllm_that_dies_while_serving_is_a_failure_even_with_exit_status_0(start_session):
    session = start_session(DIES_WHEN_READY)
    assert session.wait_for_state("ready").ready_at is not None
    state = session.wait_for_state("failed")
    assert "killed from outside" in state.cause


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything(start_session, number):
    session = start_session(SLEEPER)
    session.wait_for_port()
    assert session.stop(number) == 0
    assert session.outcome()["ended_at"] is not None
    assert session.outcome()["reason"] == f"The session was ended by the signal {number.name}."
    assert_nothing_is_left(session)


def test_a_deaf_vllm_and_its_hidden_grandchild_are_killed(start_session):
    session = start_session(DEAF)
    session.wait_for_port()
    assert session.stop() == 0
    assert_nothing_is_left(session)


def test_a_killed_supervisor_leaves_no_process_and_no_folder(start_session):
    session = start_session(SLEEPER)
    session.wait_for_port()
    session.process.kill()
    session.process.wait()
    assert_nothing_is_left(session)
    assert session.outcome()["reason"].startswith("The session ended without a word")


def test_the_session_ends_when_the_chat_page_dies(start_session):
    session = start_session(SLEEPER)
    session.wait_for_port()
    for pid, command in session.processes().items():
        if "gunicorn" in command:
            os.kill(pid, signal.SIGKILL)
    assert session.process.wait(timeout=20) == 1
    assert session.outcome()["reason"].startswith("The chat page's server ended by itself")
    assert_nothing_is_left(session)


def test_a_missing_secret_is_a_sentence_and_an_outcome(start_session, staged_root):
    (staged_root / "secret").unlink()
    session = start_session(SLEEPER)
    assert session.process.wait(timeout=20) == 1
    assert "the login secret is missing" in session.output.read_text()
    assert "the login secret is missing" in session.outcome()["reason"]


def test_a_session_that_cannot_be_read_is_a_sentence_and_an_outcome(staged_root, short_dir):
    (staged_root / "session.json").write_text('{"context": {}}')
    session = RunningSession(staged_root, short_dir)
    assert session.process.wait(timeout=20) == 1
    assert "session.json: not a session of LLM Hoster" in session.output.read_text()
    assert "session.json: not a session of LLM Hoster" in session.outcome()["reason"]


def test_a_data_dir_that_cannot_be_written_is_told_before_anything_starts(start_session, tmp_path):
    (tmp_path / "file").write_text("")
    session = start_session(SLEEPER, site={"data_dir": str(tmp_path / "file" / "data")})
    assert session.process.wait(timeout=20) == 1
    assert "data_dir of site.yml cannot be written on this node" in session.outcome()["reason"]
    assert not (session.staged_root / "vllm.log").exists()
    assert_nothing_is_left(session)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"site": {"cache_dir": "/proc/self"}}, "cache_dir of site.yml cannot be written", id="cache"),
        pytest.param({"engine": {"target": "/opt/$NO_SUCH/vllm"}}, "a variable in this path of site.yml", id="engine"),
        pytest.param(
            {"engine": {"kind": "apptainer", "target": "/x.sif"}, "model": {"source": "/m/a,b"}},
            "cannot be bound into an Apptainer image",
            id="comma",
        ),
    ],
)
def test_a_session_that_cannot_be_started_leaves_no_folder_on_the_node(start_session, changes, sentence):
    session = start_session(**changes)
    assert session.process.wait(timeout=20) == 1
    assert sentence in session.outcome()["reason"]
    assert_nothing_is_left(session)


def test_a_node_dir_that_is_too_long_for_sockets_is_refused(start_session, tmp_path):
    session = start_session(SLEEPER, site={"node_dir": str(tmp_path)})
    assert session.process.wait(timeout=20) == 1
    assert "too long for node_dir in site.yml" in session.output.read_text()

"""A child's group and its log, and the state file that readers see whole."""

import os
import signal
import stat
import threading
from unittest import mock

import pytest

from llm_hoster.engine.process.child import BoundedLog, Child
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import Remedy, ServedModel, State, Step, Transition, read_state, write_state
from tests.engine.conftest import wait_until


def test_a_log_keeps_the_newest_lines_within_its_limit(tmp_path):
    with BoundedLog(tmp_path / "vllm.log", limit_bytes=10) as log:
        for word in (b"one\n", b"two\n", b"three\n", b"four\n"):
            log.write(word)
    assert (tmp_path / "vllm.log").read_bytes() == b"three\nfour\n"[6:]
    assert (tmp_path / "vllm.log.1").read_bytes() == b"three\n"
    assert stat.S_IMODE((tmp_path / "vllm.log").stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_does_not_end_the_session(tmp_path):
    with BoundedLog(tmp_path / "no such folder" / "vllm.log") as log:
        log.write(b"one\n")


def test_a_state_comes_back_as_it_was_written(tmp_path):
    step = Step("start", "Start vLLM", 1.5, "running")
    state = State(
        state="failed",
        since=1.0,
        started_at=1.0,
        log="/x/vllm.log",
        model=ServedModel("tiny", "Tiny model"),
        steps=(step,),
        remedy=Remedy("Restart with 512 tokens", Adjustment(max_model_len=512)),
        transitions=(Transition(2.0, "starting", "failed", "It is too small."),),
    )
    write_state(tmp_path / "state.json", state)
    assert read_state(tmp_path / "state.json") == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_state_that_was_never_written_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        read_state(tmp_path / "state.json")


@pytest.fixture
def start_child(tmp_path):
    """Start a shell's script as a child; give it when it has itself ended."""

    def start(script: str) -> Child:
        ended = threading.Event()
        child = Child("x", log=tmp_path / "x.log", on_end=ended.set)
        child.start(["/bin/sh", "-c", script], os.environ, cwd=tmp_path)
        assert ended.wait(5)
        return child

    return start


def test_a_group_that_is_gone_is_never_signalled_again(start_child, monkeypatch):
    """Somebody else may have its number by now."""
    child = start_child("true")
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("signalled"))
    child.signal_group(signal.SIGKILL)
    assert child.group_is_gone()


def test_what_lives_on_in_the_group_is_signalled_until_it_is_gone(start_child, monkeypatch):
    child = start_child("sleep 60 >/dev/null 2>&1 &")
    assert not child.group_is_gone()
    child.signal_group(signal.SIGKILL)
    wait_until(child.group_is_gone)
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("signalled"))
    child.signal_group(signal.SIGKILL)


def test_a_number_that_another_user_has_is_nobodys_of_ours(start_child, monkeypatch):
    child = start_child("sleep 60 >/dev/null 2>&1 &")
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", mock.Mock(side_effect=PermissionError))
        child.signal_group(signal.SIGTERM)
        assert child.group_is_gone()
    os.killpg(child.pid, signal.SIGKILL)


def test_one_that_has_ended_may_be_started_again_and_signalled(start_child, tmp_path):
    child = start_child("true")
    child.start(["sleep", "60"], os.environ, cwd=tmp_path)
    assert not child.group_is_gone()
    child.signal_group(signal.SIGKILL)
    wait_until(child.group_is_gone)
    assert child.return_code == -signal.SIGKILL

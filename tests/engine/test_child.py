"""A child's log, and the state file that readers see whole."""

import stat

import pytest

from llm_hoster.engine.child import BoundedLog
from llm_hoster.engine.state import State, Step, read_state, write_state


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
    state = State(state="starting", since=1.0, started_at=1.0, log="/x/vllm.log", steps=(step,))
    write_state(tmp_path / "state.json", state)
    assert read_state(tmp_path / "state.json") == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_state_that_was_never_written_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        read_state(tmp_path / "state.json")

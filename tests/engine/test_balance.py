"""The SU left, from a small program in the place of the site's command."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from llm_hoster.engine.job.balance import BalanceWatch, read_balance
from tests.engine.conftest import wait_until


@pytest.fixture
def make_watch(tmp_path, short_dir):
    """Write a program of the site's and watch it for the account ucb1_asc1."""

    def make(script: str, *arguments: str, **times: float) -> BalanceWatch:
        program = tmp_path / "su left"
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)
        return BalanceWatch([str(program), *arguments], "ucb1_asc1", short_dir, **times)

    return make


def test_before_the_first_answer_nothing_is_known(short_dir):
    assert read_balance(short_dir) is None


@pytest.mark.parametrize(("output", "left"), [("12345.5", 12345.5), ("0", 0.0), ("-17", -17.0), (" 1e6 ", 1e6)])
def test_the_number_on_its_output_is_the_balance(make_watch, short_dir, output, left):
    make_watch(f"echo '{output}'; echo noise >&2").look()
    assert read_balance(short_dir) == left


def test_the_account_is_put_in_and_nothing_is_a_shells(make_watch, short_dir, tmp_path):
    make_watch(f'printf "%s\\n" "$@" >"{tmp_path}/seen"; echo 1', "--account={account}", "$(touch x)").look()
    assert (tmp_path / "seen").read_text() == "--account=ucb1_asc1\n$(touch x)\n"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        pytest.param("echo 5; exit 3", "it ended with exit status 3", id="status"),
        pytest.param("echo 'SU left: 5'", "expected one number, the SU left; found b'SU left: 5", id="text"),
        pytest.param("true", "expected one number, the SU left; found b''", id="nothing"),
        pytest.param("echo nan", "expected one number", id="nan"),
        pytest.param("echo inf", "expected one number", id="inf"),
        pytest.param("printf '\\xff\\x00'", "expected one number", id="bytes"),
    ],
)
def test_a_failure_is_not_shown_and_told_once(make_watch, short_dir, capfd, script, sentence):
    make_watch("echo 7").look()
    watch = make_watch(script)
    watch.look()
    watch.look()
    assert read_balance(short_dir) is None
    told = [line for line in capfd.readouterr().out.splitlines() if "balance_command of site.yml failed" in line]
    assert len(told) == 1
    assert sentence in told[0]


def test_a_program_that_is_not_there_is_a_failure(short_dir, capfd):
    BalanceWatch(["/no/such/program"], "a", short_dir).look()
    told = capfd.readouterr().out
    assert "balance_command of site.yml failed, so no balance is shown: there is no program /no/such/program" in told


def test_a_slow_program_is_ended_with_all_that_it_started(make_watch, short_dir, tmp_path, capfd):
    began = time.monotonic()
    make_watch(f'sleep 600 & echo $! >"{tmp_path}/pid"; sleep 600', timeout_s=0.5).look()
    assert time.monotonic() - began < 5
    assert "it did not end within 0 s" in capfd.readouterr().out
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(pid), timeout_s=5)


def test_the_supervisor_does_not_take_it_for_a_stray_process(make_watch, short_dir, tmp_path):
    """See kill_descendants: those of our own session are spared."""
    make_watch(f'ps -o sid= -p $$ >"{tmp_path}/session"; echo 1').look()
    assert int((tmp_path / "session").read_text()) == os.getsid(0)


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except OSError:
        return False


def test_it_runs_beside_the_session_again_and_again_and_not_more_often(make_watch, short_dir, tmp_path):
    watch = make_watch(f'echo x >>"{tmp_path}/runs"; wc -l <"{tmp_path}/runs"', interval_s=0.5)
    began = time.monotonic()
    watch.start()
    assert time.monotonic() - began < 0.3
    wait_until(lambda: (read_balance(short_dir) or 0) >= 3, timeout_s=10)
    assert (read_balance(short_dir) or 0) <= (time.monotonic() - began) / 0.5 + 1


def test_a_folder_that_is_gone_does_no_harm(make_watch, tmp_path):
    program = make_watch("echo 1")._command
    BalanceWatch(program, "a", tmp_path / "gone").look()
    assert os.listdir(tmp_path) == ["su left"]

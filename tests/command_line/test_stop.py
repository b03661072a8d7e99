"""`llm-hoster stop`: by the session itself where it answers, by Slurm where it does not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llm_hoster import stop_command
from llm_hoster.errors import SessionError
from llm_hoster.stop_command import stop
from tests.command_line.conftest import Program
from tests.engine.conftest import RunningSession, start_session
from tests.staged_sessions import ENDED, NOTHING_YET, Stage
from tests.web_session import WebServer, ready_state

__all__ = ["start_session"]
SLEEPER = "import time; time.sleep(600)"
QUEUE = "echo '41|RUNNING|None|c3gpu-a1|N/A|/x/session-1'"
# As a job that Slurm ends leaves its outcome.
OUTPUT = "ondemand/data/sys/dashboard/batch_connect/sys/llm_hoster/output"
SCANCEL = f'echo "$@" >"$HOME/cancelled"; cp "$HOME/ended" "$HOME/{OUTPUT}/session-1/outcome.json"'


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(stop, arguments, input=answer)


@pytest.mark.usefixtures("home")
def test_a_real_session_ends_itself_and_says_what_it_cost(
    program: Program, start_session: Callable[..., RunningSession]
) -> None:
    program("squeue", "exit 1")
    session = start_session(program=SLEEPER)
    session.wait_for_port()
    result = run(str(session.staged_root), answer="y\n")
    assert result.exit_code == 0, result.output
    assert "End session staged (tiny on 1 x cpu)? [y/N]" in result.output
    outcome = session.outcome()
    assert result.output.endswith(f"has ended and has used {outcome['su_used']:,.2f} SU. {outcome['reason']}\n")
    assert session.process.wait(20) == 0


def test_without_a_yes_it_goes_on(stage: Stage, program: Program, home: Path) -> None:
    stage("session-1", outcome=NOTHING_YET)
    program("squeue", QUEUE)
    program("scancel", SCANCEL)
    assert run("session-1", answer="n\n").exit_code == 1
    assert not (home / "cancelled").exists()


def test_one_that_has_no_pages_yet_is_ended_by_slurm(stage: Stage, program: Program, home: Path) -> None:
    folder = stage("session-1", outcome=NOTHING_YET)
    (home / "ended").write_text(json.dumps(ENDED))
    program("squeue", QUEUE)
    program("scancel", SCANCEL)
    document = json.loads(run("session-1", "--yes", "--json").stdout)
    assert (home / "cancelled").read_text() == "41\n"
    assert (document["has_ended"], document["su_used"], document["reason"]) == (True, 12.345, ENDED["reason"])
    assert not (folder / "called_off").exists()


def test_one_that_does_not_answer_is_ended_by_slurm(
    stage: Stage, program: Program, home: Path, make_server: Callable[..., WebServer]
) -> None:
    server = make_server(state=ready_state())
    stage("session-1", outcome=NOTHING_YET, server=server)
    server.kill()
    (home / "ended").write_text(json.dumps(ENDED))
    program("squeue", QUEUE)
    program("scancel", SCANCEL)
    assert run("session-1", "--yes").exit_code == 0
    assert (home / "cancelled").read_text() == "41\n"


def test_one_that_nobody_can_end_is_said(stage: Stage, program: Program) -> None:
    stage("session-1", outcome=NOTHING_YET)
    program("squeue", "exit 1")
    error = run("session-1", "--yes").exception
    assert isinstance(error, SessionError)
    assert str(error) == (
        "Session session-1 has no pages yet. Slurm does not name its job either, so it cannot be ended from here."
    )
    program("squeue", QUEUE)
    program("scancel", "exit 1")
    assert "Try: scancel 41" in str(run("session-1", "--yes").exception)


def test_one_that_waits_is_called_off(stage: Stage, program: Program, home: Path) -> None:
    folder = stage("session-1")
    program("squeue", "echo '41|PENDING|Priority||N/A|/x/session-1'")
    program("scancel", 'echo "$@" >"$HOME/cancelled"')
    result = run("session-1", "--yes")
    assert result.output == f"Session session-1 has ended and has used 0.00 SU. {stop_command.CALLED_OFF}\n"
    assert (folder / "called_off").read_text() == stop_command.CALLED_OFF
    assert (home / "cancelled").read_text() == "41\n"


def test_one_that_slurm_keeps_in_its_queue_still_waits(stage: Stage, program: Program) -> None:
    folder = stage("session-1")
    program("squeue", "echo '41|PENDING|Priority||N/A|/x/session-1'")
    program("scancel", "exit 1")
    assert "Try: scancel 41" in str(run("session-1", "--yes").exception)
    assert not (folder / "called_off").exists()


def test_one_that_is_slow_to_end_is_told_as_ending(
    stage: Stage, program: Program, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_command, "END_TIMEOUT_S", 0.0)
    stage("session-1", outcome=NOTHING_YET)
    program("squeue", QUEUE)
    program("scancel", "true")
    assert run("session-1", "--yes").output == "Session session-1 is ending. It has used 0.50 SU so far.\n"


def test_one_that_has_ended_is_left_alone(stage: Stage, program: Program) -> None:
    folder = stage("session-1", outcome=ENDED)
    minutes_ago = time.time() - 300
    os.utime(folder / "outcome.json", (minutes_ago, minutes_ago))
    program("squeue", "exit 1")
    assert str(run("session-1", "--yes").exception) == "Session session-1 has ended already."

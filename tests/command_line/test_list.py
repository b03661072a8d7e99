"""`llm-hoster list`: all sessions in one table, and which of the beginnings of their ids tell them apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.list_command import list_sessions, short_id
from llm_hoster.own_sessions import COMMAND_LINE, find_session
from tests.command_line.conftest import Program
from tests.staged_sessions import ENDED, NOTHING_YET, Stage
from tests.web_session import WebServer, ready_state

READY = ready_state(model=ServedModel("second", "Second model"))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(list_sessions, arguments)
    assert result.exception is None, result.output
    return result.stdout


def rows(*arguments: str) -> dict[str, dict[str, Any]]:
    return {row["session_id"]: row for row in json.loads(run("--json", *arguments))}


def test_those_that_run_come_first_and_say_what_they_serve_now(
    stage: Stage, program: Program, make_server: Callable[..., WebServer]
) -> None:
    server = make_server(state=READY)
    folder = stage("session-1", outcome=NOTHING_YET, server=server)
    stage("session-2", outcome=ENDED)
    program("squeue", f"echo '41|RUNNING|None|c3gpu-a1|N/A|/somewhere/{folder.name}'")

    found = rows()
    assert list(found) == ["session-1", "session-2"]
    expected = {"job_id": "41", "model": "second", "gpu": "1 x cpu", "node": "c3gpu-a1", "state": "ready"}
    assert found["session-1"] | expected == found["session-1"]
    assert found["session-1"]["address"] == server.settings.base_url
    assert (found["session-1"]["su_used"] > 100, found["session-2"]["su_used"]) == (True, 12.345)
    assert (found["session-2"]["state"], found["session-2"]["job_id"]) == ("ended", None)
    assert list(rows("--running")) == ["session-1"]
    head, first, second = run().splitlines()
    assert head.split() == ["SESSION", "JOB", "MODEL", "GPU", "NODE", "STATE", "TIME", "LEFT", "SU", "ADDRESS"]
    assert first.split()[:2] == ["session-1", "41"]
    assert second.split() == ["session-2", "-", "tiny", "1", "x", "cpu", "-", "ended", "-", "12.3", "-"]


def test_one_that_waits_says_for_what(stage: Stage, program: Program) -> None:
    stage("session-1")
    program("squeue", "echo '41|PENDING|Resources||N/A|/a|b/session-1'")
    row = rows()["session-1"]
    assert (row["state"], row["job_id"], row["node"]) == ("waiting (Resources)", "41", None)


def test_one_of_the_command_line_waits_as_long_as_slurm_has_its_job(stage: Stage, program: Program) -> None:
    """Nothing else knows: the portal has no card for it. Where Slurm does not answer, it is not called dead."""
    stage("session-1", app=COMMAND_LINE)
    program("squeue", "true")
    assert rows()["session-1"]["state"] == "ended"
    program("squeue", "echo '41|PENDING|Resources||N/A|/x/session-1'")
    assert rows()["session-1"]["state"] == "waiting (Resources)"
    program("squeue", "exit 1")
    assert rows()["session-1"]["state"] == "waiting"


def test_nothing_in_a_row_steers_the_terminal(stage: Stage, program: Program) -> None:
    folder = stage("session-1", outcome=ENDED)
    program("squeue", "exit 1")
    (folder / "session.json").write_text(json.dumps({"context": {"model": "\x1b[2Jtiny"}, "catalogue": {}}))
    assert " [2Jtiny" in run()


def test_without_sessions_it_says_so(home: object, program: Program) -> None:
    program("squeue", "true")
    assert run() == "No session of yours was found.\n"
    assert run("--running") == "No session of yours runs.\n"
    assert run("--json") == "[]\n"


def test_a_short_id_is_one_that_a_command_takes(stage: Stage) -> None:
    ids = ["11111111-aaaa", "11111111-abbb", "22222222-cccc", "22222222-cccc-2"]
    for each in ids:
        stage(each, outcome=ENDED)
    assert [short_id(each, ids) for each in ids] == ["11111111-aa", "11111111-ab", "22222222-cccc", "22222222-cccc-"]
    for each in ids:
        assert find_session(short_id(each, ids)).id == each

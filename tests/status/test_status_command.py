"""`llm-hoster status`: finding one's own sessions, and asking those that run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from llm_hoster.engine.record.state import ServedModel, Step
from llm_hoster.errors import SessionError
from llm_hoster.own_sessions import OwnSession, find_session, own_sessions
from llm_hoster.status_command.command import status
from tests.engine.conftest import RunningSession, start_session
from tests.staged_sessions import ENDED, NOTHING_YET, Stage, home, stage
from tests.web_session import WebServer, ready_state

__all__ = ["home", "stage", "start_session"]

READY = ready_state(model=ServedModel("tiny", "Tiny model"))
SLEEPER = "import time; time.sleep(600)"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(status, arguments)
    assert result.exception is None, result.output
    return result


def condition_of(name: str) -> str:
    [standing] = json.loads(run("--json", name).output)
    return str(standing["condition"])


def test_a_running_session_tells_its_state(stage: Stage, make_server: Callable[..., WebServer]) -> None:
    server = make_server(state=replace(READY, since=time.time() - 65), gpu_title="2 x \x1b[31mA100")
    folder = stage("session-1", outcome=NOTHING_YET, server=server)
    text = run().output

    assert text.startswith("session-1  Tiny model on 2 x  [31mA100\n")  # Nothing in it steers the terminal.
    for line in ("ready for 1 min", "3 h 00 min", "108.", " so far", server.settings.base_url, str(folder)):
        assert line in text
    [standing] = json.loads(run("--json").output)
    assert standing["report"]["engine"]["state"] == "ready"
    assert 108.6 <= standing["report"]["su_used"] < 110


def test_a_session_that_starts_tells_its_steps(stage: Stage, make_server: Callable[..., WebServer]) -> None:
    steps = (Step("start", "Starting vLLM", 12.0, "done"), Step("weights", "Reading", 63.0, "running", "3 of 15 GiB"))
    state = ready_state(model=ServedModel("tiny", "Tiny model"), state="starting", steps=steps, remaining_s=40.0)
    stage("session-1", outcome=NOTHING_YET, server=make_server(state=state))
    text = run("session").output

    assert "about 40 s to go" in text
    assert "1 min 03 s  3 of 15 GiB" in text


def test_sessions_are_found_wherever_ondemand_stages_them(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    apps = ["sys/llm_hoster", "dev/mine", "usr/anna/llm_hoster", "alpine/sys/llm_hoster/small"]
    folders = [stage(f"session-{number}", app=app, outcome=ENDED) for number, app in enumerate(apps)]
    other = folders[0].parent.parent.parent / "jupyter" / "output" / "session-9"
    other.mkdir(parents=True)
    (other / "session.json").write_text('{"kernel": "python"}')

    assert {session.folder for session in own_sessions()} == set(folders)
    monkeypatch.setenv("OOD_DATAROOT", str(folders[0].parents[4]))
    assert len(own_sessions()) == 4
    monkeypatch.setenv("OOD_DATAROOT", "/nowhere")
    assert own_sessions() == []


def test_an_ended_session_tells_why(stage: Stage) -> None:
    stage("session-1", outcome=ENDED)

    assert "No session of yours runs" in run().output
    text = run("--all").output
    assert "ended 2026-09-2" in text
    assert "The time limit was reached." in text
    assert "12.35 used" in text or "12.34 used" in text


def test_a_session_waits_until_its_job_begins_or_its_card_is_gone(stage: Stage) -> None:
    folder = stage("session-1")
    assert condition_of("session-1") == "waiting"
    assert "waits in the queue" in run().output

    (folder / "outcome.json").write_text(json.dumps(NOTHING_YET))
    assert condition_of("session-1") == "beginning"

    (folder / "outcome.json").unlink()
    (folder.parents[3] / "db" / "session-1").unlink()
    assert condition_of("session-1") == "ended"


def test_a_session_that_does_not_answer(stage: Stage, make_server: Callable[..., WebServer]) -> None:
    """At first something is wrong with it; after some minutes of silence it is gone."""
    server = make_server(state=READY)
    folder = stage("session-1", outcome=NOTHING_YET, server=server)
    server.kill()
    assert condition_of("session-1") == "silent"
    assert "does not answer at 127.0.0.1" in run().output

    minutes_ago = time.time() - 300
    os.utime(folder / "outcome.json", (minutes_ago, minutes_ago))
    assert condition_of("session-1") == "ended"
    with pytest.raises(SessionError, match="None of your sessions runs"):
        find_session()


def test_a_full_home_folder_does_not_end_a_session(stage: Stage, make_server: Callable[..., WebServer]) -> None:
    folder = stage("session-1", outcome=NOTHING_YET, server=make_server(state=READY))
    minutes_ago = time.time() - 300
    os.utime(folder / "outcome.json", (minutes_ago, minutes_ago))

    assert condition_of("session-1") == "running"
    assert find_session().id == "session-1"


def test_a_stranger_on_the_port_of_a_dead_session_is_not_it(
    stage: Stage, make_server: Callable[..., WebServer]
) -> None:
    server = make_server(state=READY)
    folder = stage("session-1", outcome=NOTHING_YET, server=server)
    (folder / "secret").write_text("another secret")
    assert condition_of("session-1") == "silent"

    stage("session-2", outcome=NOTHING_YET, server=server)
    assert condition_of("session-2") == "silent"


def test_one_session_is_named_by_the_beginning_of_its_id(stage: Stage) -> None:
    folder = stage("3f0c-1", outcome=ENDED)
    stage("3f0d-1", outcome=ENDED)

    assert find_session("3f0c").folder == folder
    assert find_session(str(folder)).folder == folder
    with pytest.raises(SessionError, match=r"Several of your sessions begin with '3f0'. There is: 3f0"):
        find_session("3f0")
    with pytest.raises(SessionError, match=r"No session of yours is '9'. There is: 3f0"):
        find_session("9")


def test_a_proxy_of_the_shell_is_not_asked(
    stage: Stage, make_server: Callable[..., WebServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage("session-1", outcome=NOTHING_YET, server=make_server(state=READY))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert condition_of("session-1") == "running"


def test_a_form_is_posted_as_a_page_of_the_session_does(stage: Stage, make_server: Callable[..., WebServer]) -> None:
    """Without the right Origin and the login it would be refused."""
    session = OwnSession(stage("session-1", outcome=NOTHING_YET, server=make_server(state=READY)))

    assert session.get("/status.json").json()["session_id"] == "session-1"
    assert session.post("/logout", {}).ok


@pytest.mark.usefixtures("home")
def test_a_real_session_from_its_beginning_to_its_end(start_session: Callable[..., RunningSession]) -> None:
    session = start_session(program=SLEEPER)
    session.wait_for_port()
    [standing] = json.loads(run("--json", str(session.staged_root)).output)
    assert standing["condition"] == "running"
    assert standing["report"]["engine"]["state"] == "starting"
    assert standing["report"]["engine"]["steps"]

    session.stop()
    assert "SU" in run(str(session.staged_root)).output
    assert condition_of(str(session.staged_root)) == "ended"

"""The lines of sh that look for sessions on the login node, run by a real sh, and what is made of what they print."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from llm_hoster.errors import NoSessionError
from llm_hoster.tunnel_command.remote_session import RemoteSession, choose, question, read_sessions

ENDPOINT = {"base_url": "http://node1:40001/v1", "api_key": "k", "model": "tiny"}
NOT_ENDED = {"reason": "", "ended_at": None}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with a space in its name, and two sessions: 3f0d is the newer one."""
    home = tmp_path / "jo o'neil"
    output = home / "ondemand/data/sys/dashboard/batch_connect/alpine/usr/anna/llm_hoster/small/output"
    for age_s, name in [(100, "3f0c-1"), (50, "3f0d-1"), (0, "7"), (10, "wait")]:
        folder = output / name
        folder.mkdir(parents=True)
        write(folder / "session.json", {"context": {}}, age_s)
        if name != "wait":
            write(folder / "endpoint.json", ENDPOINT)
            write(folder / "outcome.json", NOT_ENDED)
    write(output / "7" / "outcome.json", {"reason": "Stopped.", "ended_at": 1.0})
    (output.parents[5] / "db").mkdir()
    (output.parents[5] / "db" / "3f0c-1").write_text('{"id":"3f0c-1","job_id":"4711","cluster_id":"x"}')
    return home


def write(path: Path, document: object, age_s: float = 0.0) -> None:
    path.write_text(json.dumps(document))
    then = time.time() - age_s
    os.utime(path, (then, then))


def ask(home: Path, wanted: str, **environment: str) -> RemoteSession:
    done = subprocess.run(
        ["sh", "-s"], input=f"echo 'Welcome to the cluster'\n{question(wanted)}", capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(home)} | environment, timeout=20, cwd=home,
    )  # fmt: skip
    assert done.stderr == ""
    sessions = read_sessions(done.stdout)
    assert sessions is not None
    return choose(sessions, wanted)


def test_a_session_is_named_by_its_id_its_folder_its_file_or_its_job(home: Path) -> None:
    [folder] = home.glob("ondemand/**/output/3f0c-1")
    for wanted in ("3f0c", "3f0c-1", str(folder), f"{folder}/", f"{folder}/endpoint.json", "4711"):
        session = ask(home, wanted)
        assert (session.id, session.has_ended) == ("3f0c-1", False)
        assert session.endpoint is not None and session.endpoint.base_url == ENDPOINT["base_url"]


def test_of_a_row_the_whole_id_names_the_first(home: Path) -> None:
    [folder] = home.glob("ondemand/**/output/3f0c-1")
    (folder.parent / "3f0c-1-2").mkdir()
    write(folder.parent / "3f0c-1-2" / "session.json", {"context": {}})
    assert ask(home, "3f0c-1").id == "3f0c-1"
    assert ask(home, "3f0c-1-").id == "3f0c-1-2"
    with pytest.raises(NoSessionError, match="Several sessions begin with '3f0c'"):
        ask(home, "3f0c")


def test_without_a_name_it_is_the_newest_that_runs(home: Path) -> None:
    assert ask(home, "").id == "3f0d-1"
    assert ask(home, "", OOD_DATAROOT=str(home / "ondemand/data/sys/dashboard")).id == "3f0d-1"
    with pytest.raises(NoSessionError, match="No session of yours runs there"):
        ask(home, "", OOD_DATAROOT="/nowhere")
    assert ask(home, "7").reason == "Stopped."
    assert ask(home, "wait").endpoint is None


@pytest.mark.parametrize(("wanted", "sentence"), [
    ("3f0", "Several sessions begin with '3f0' on that machine. There is: 3f0"),
    ("471", "There is no session or job '471' on that machine."),
    ("'; touch evil; echo '", "There is no session or job"),
    ("$(touch evil)", "There is no session or job"),
    ("/no/such/folder", "There is no session or job '/no/such/folder'"),
])  # fmt: skip
def test_what_is_not_there_or_not_one(home: Path, wanted: str, sentence: str) -> None:
    with pytest.raises(NoSessionError, match=sentence.replace("(", "\\(").replace("$", "\\$")):
        ask(home, wanted)
    assert not (home / "evil").exists()


def test_a_session_that_has_been_silent_for_a_day_has_ended(home: Path) -> None:
    [folder] = home.glob("ondemand/**/output/3f0d-1")
    write(folder / "outcome.json", NOT_ENDED, age_s=2 * 86400)
    assert ask(home, "").id == "3f0c-1"


def test_the_next_in_a_row_is_told(home: Path) -> None:
    [folder] = home.glob("ondemand/**/output/3f0c-1")
    write(folder / "successor.json", {"folder": "/staged/3f0c-1-2", "host": "n"})
    assert ask(home, "3f0c").successor_folder == "/staged/3f0c-1-2"


@pytest.mark.parametrize(
    "base_url", ["http://-oProxyCommand=x:1/v1", "http://n/v1", "file:///etc/passwd", "http://a b:1/"]
)
def test_an_address_that_ssh_could_take_for_something_else_is_none(home: Path, base_url: str) -> None:
    [folder] = home.glob("ondemand/**/output/3f0c-1")
    write(folder / "endpoint.json", ENDPOINT | {"base_url": base_url})
    assert ask(home, "3f0c").endpoint is None


def test_an_answer_that_was_cut_is_none() -> None:
    assert read_sessions("") is None
    assert read_sessions("llm-hoster:folder /x\nllm-hoster:endpoint {") is None
    sessions = read_sessions(
        "llm-hoster:age 1\nllm-hoster:folder /x\nllm-hoster:outcome {\nllm-hoster:outcome []\nllm-hoster:end "
    )
    assert sessions == [RemoteSession("/x")]

"""The client finds a session by itself, and says what to do where there is none."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from llm_hoster.client import NoSessionError, connect
from llm_hoster.client.own_folder import make_private, tunnels_folder
from tests.client.small_session import SmallServer, SmallSession, make_session, make_small_server

__all__ = ["make_session", "make_small_server"]

MakeSession = Callable[..., SmallSession]
NOT_ENDED = {"reason": "", "ended_at": None}


@pytest.fixture(autouse=True)
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which OnDemand stages the sessions of a person who has nothing set and no tunnel."""
    for name in ("LLM_HOSTER_ENDPOINT", "LLM_HOSTER_BASE_URL", "LLM_HOSTER_API_KEY", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OOD_DATAROOT", str(tmp_path / "ood"))
    return tmp_path / "ood" / "batch_connect" / "sys" / "llm_hoster" / "output"


def stage(output: Path, name: str, session: SmallSession | None = None, outcome: object = None) -> Path:
    """The later it is staged here, the newer it is."""
    folder = output / name
    folder.mkdir(parents=True)
    (folder / "session.json").write_text('{"context":{}}')
    number = len(list(output.iterdir()))
    os.utime(folder / "session.json", (number, number))
    if session is not None:
        session.write(folder / "endpoint.json")
    if outcome is not None:
        (folder / "outcome.json").write_text(json.dumps(outcome))
    return folder


def found() -> str:
    with connect() as client:
        return client.base_url


def test_the_newest_session_that_answers_is_taken(output: Path, make_session: MakeSession) -> None:
    first, second, dead = make_session(), make_session(), make_session()
    stage(output, "first", first, NOT_ENDED)
    stage(output, "second", second, NOT_ENDED)
    stage(output, "dead", dead, NOT_ENDED)
    dead.end()
    assert found() == second.base_url

    (output / "second" / "outcome.json").write_text(json.dumps({"ended_at": 1.0}))
    assert found() == first.base_url


def test_a_session_silent_for_a_day_is_not_asked(output: Path, make_session: MakeSession) -> None:
    """Its port may be another person's by now."""
    folder = stage(output, "first", make_session(), NOT_ENDED)
    two_days_ago = time.time() - 2 * 86400
    os.utime(folder / "outcome.json", (two_days_ago, two_days_ago))
    with pytest.raises(NoSessionError, match="No session of yours runs"):
        connect()


def test_a_stranger_on_the_port_of_a_dead_session_is_not_shown_the_key(
    output: Path, make_session: MakeSession, make_small_server: Callable[[bytes], SmallServer]
) -> None:
    stranger = make_small_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    folder = stage(output, "dead", make_session(), NOT_ENDED)
    document = {"base_url": stranger.base_url, "api_key": "sk-secret", "model": "tiny"}
    (folder / "endpoint.json").write_text(json.dumps(document))
    with pytest.raises(NoSessionError, match="None of your sessions answers"):
        connect()
    assert len(stranger.requests) == 1
    assert b"sk-secret" not in stranger.requests[0]


def test_an_open_tunnel_comes_first(output: Path, make_session: MakeSession) -> None:
    stage(output, "first", make_session(), NOT_ENDED)
    tunnelled = make_session()
    make_private(tunnels_folder())
    tunnelled.write(tunnels_folder() / "second.json")
    assert found() == tunnelled.base_url


def test_a_session_is_named_by_its_file_its_folder_or_the_beginning_of_its_id(
    output: Path, make_session: MakeSession
) -> None:
    session = make_session()
    folder = stage(output, "3f0c-1", session)
    stage(output, "3f0d-1", make_session())
    for name in ("3f0c", folder, str(folder), folder / "endpoint.json"):
        with connect(name) as client:
            assert client.base_url == session.base_url
    with pytest.raises(NoSessionError, match=r"Several of your sessions begin with '3f'. There is: 3f0"):
        connect("3f")
    with pytest.raises(NoSessionError, match=r"No session of yours is '9'. There is: 3f0"):
        connect("9")


def test_of_a_row_the_whole_id_names_the_first(output: Path, make_session: MakeSession) -> None:
    first, second = make_session(), make_session()
    stage(output, "3f0c", first)
    stage(output, "3f0c-2", second)
    for name, session in (("3f0c", first), ("3f0c-2", second), ("3f0c-", second)):
        with connect(name) as client:
            assert client.base_url == session.base_url
    with pytest.raises(NoSessionError, match="Several of your sessions begin with '3f0'"):
        connect("3f0")


def test_the_environment_names_an_endpoint(
    make_session: MakeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = make_session()
    monkeypatch.setenv("LLM_HOSTER_ENDPOINT", str(session.write(tmp_path / "e.json")))
    assert found() == session.base_url
    monkeypatch.delenv("LLM_HOSTER_ENDPOINT")

    monkeypatch.setenv("LLM_HOSTER_BASE_URL", f"{session.base_url}/")
    with pytest.raises(NoSessionError, match="An address without a key was given"):
        connect()
    monkeypatch.setenv("LLM_HOSTER_API_KEY", session.key)
    with connect() as client:
        assert (client.base_url, client.model) == (session.base_url, "tiny")
    monkeypatch.setenv("LLM_HOSTER_BASE_URL", "node1:8000")
    with pytest.raises(NoSessionError, match="expected one such as http://NODE:PORT/v1"):
        connect()


def test_what_was_given_goes_before_the_environment(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make_session()
    monkeypatch.setenv("LLM_HOSTER_ENDPOINT", "/nowhere/endpoint.json")
    with connect(base_url=session.base_url, api_key=session.key) as client:
        assert client.models() == ["tiny"]
    with pytest.raises(NoSessionError, match="which is meant"):
        connect("3f0c", base_url="http://n:1/v1", api_key="k")


def test_a_key_of_ones_own_goes_with_the_session_of_today(
    output: Path, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not lost when the file is read again."""
    folder = stage(output, "first", make_session(key="sk-mine"), NOT_ENDED)
    (folder / "endpoint.json").write_text((folder / "endpoint.json").read_text().replace("sk-mine", "sk-owner"))
    monkeypatch.setenv("LLM_HOSTER_API_KEY", "sk-mine")
    with connect() as client:
        assert client.models() == ["tiny"]
    with connect(folder, api_key="sk-mine", max_retries=0) as client:
        assert client.models() == ["tiny"]
    with connect(folder) as client, pytest.raises(openai.AuthenticationError):  # What was named has a key.
        client.models()


def test_without_a_session_it_is_said_how_to_launch_one() -> None:
    with pytest.raises(
        NoSessionError, match=r"No session of yours runs. Launch one from the portal.*llm-hoster tunnel"
    ):
        connect()


def test_a_session_that_waits_is_not_a_missing_one(output: Path) -> None:
    folder = stage(output, "3f0c")
    with pytest.raises(NoSessionError, match="3f0c, waits in the queue"):
        connect()
    with pytest.raises(NoSessionError, match="3f0c has no address yet"):
        connect("3f0c")
    (folder / "outcome.json").write_text(json.dumps(NOT_ENDED))
    with pytest.raises(NoSessionError, match="is not there: no session runs in that folder"):
        connect("3f0c")


def test_where_no_node_can_be_reached_the_tunnel_is_named(output: Path, make_session: MakeSession) -> None:
    session = make_session()
    stage(output, "first", session, NOT_ENDED)
    session.end()
    with pytest.raises(NoSessionError, match=r"None of your sessions answers \(127.0.0.1:\d+\).*llm-hoster tunnel"):
        connect()


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"base_url": "http://n:1/v1", "api_key": 1, "model": "m"}',
    '{"base_url": "file:///etc/passwd", "api_key": "k", "model": "m"}',
    '{"base_url": "http://n:99999/v1", "api_key": "k", "model": "m"}',
])  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "endpoint.json").write_text(content)
    with pytest.raises(NoSessionError, match="is not the endpoint file of a session"):
        connect(tmp_path)

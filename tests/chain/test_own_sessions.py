"""`llm-hoster status` and `switch` know the sessions of a row apart."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.engine.chain.predecessor import Predecessor
from llm_hoster.engine.record.successor import Successor
from llm_hoster.errors import NoSessionError
from llm_hoster.own_sessions import OwnSession, find_session, own_sessions
from llm_hoster.status_command.standing import standing_of

ENDPOINTS = {"first": "http://n1:40001/v1", "first-2": "http://n2:40002/v1"}


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of OnDemand in which a row of two runs, the second having taken over."""
    monkeypatch.setenv("OOD_DATAROOT", str(tmp_path))
    output = tmp_path / "batch_connect" / "sys" / "llm_hoster" / "output"
    for name, base_url in ENDPOINTS.items():
        folder = output / name
        folder.mkdir(parents=True)
        write(folder, "session", {"context": {"model": "tiny"}, "catalogue": {}})
        # Both name the session that serves.
        write(folder, "endpoint", {"base_url": ENDPOINTS["first-2"], "api_key": "k", "model": "tiny"})
        write(folder, "outcome", {"reason": "", "ended_at": None})
        (folder / "card").write_text(base64.b64encode(json.dumps({"base_url": base_url}).encode()).decode())
    Predecessor(str(output / "first"), "1", 1, "k").write(output / "first-2")
    Successor("n2", 40002, "rnode", "tiny", "Tiny", "2", str(output / "first-2")).write(output / "first")
    (tmp_path / "batch_connect" / "db").mkdir()
    return output


def write(folder: Path, name: str, content: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_each_session_of_a_row_is_found_and_asked_at_its_own_address(output: Path) -> None:
    found = {session.id: session.endpoint for session in own_sessions()}
    assert {name: endpoint.base_url for name, endpoint in found.items() if endpoint} == ENDPOINTS


def test_without_a_name_the_one_that_has_taken_over_is_meant(output: Path) -> None:
    assert find_session().id == "first-2"


def test_the_whole_id_names_the_first(output: Path) -> None:
    for name, session_id in (("first", "first"), ("first-2", "first-2"), ("first-", "first-2")):
        assert find_session(name).id == session_id
    with pytest.raises(NoSessionError, match="Several of your sessions begin with 'firs'"):
        find_session("firs")


def test_one_that_waits_is_not_taken_for_a_deleted_one(output: Path) -> None:
    """The portal has no record of it."""
    folder = output / "first-2"
    for name in ("endpoint.json", "outcome.json"):
        (folder / name).unlink()
    assert standing_of(OwnSession(folder)).condition == "waiting"
    (folder / "called_off").write_text("The session was cancelled.")
    assert standing_of(OwnSession(folder)).condition == "ended"

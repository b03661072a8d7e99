"""`llm-hoster usage` over sessions that run, that have ended, and whose files are damaged."""

from __future__ import annotations

import contextlib
import csv
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llm_hoster.usage.recorder import Recorder
from llm_hoster.usage.store import SessionFacts
from llm_hoster.usage.tokens import Tokens
from llm_hoster.usage_command.command import usage
from tests.usage.records import made

NOW = time.time()
LONG_AGO = NOW - 40 * 86400
STARTED = NOW - 7200
# Prompt, cached, completion.
REQUESTS = [
    ("owner", "tiny", NOW, (30, 10, 20)), ("ada", "tiny", NOW, (10, 0, 40)), ("ada", "large", LONG_AGO, (90, 0, 10)),
]  # fmt: skip


def write_session(folder: Path, session_id: str, *, outcome: dict[str, Any] | None, requests: list[Any]) -> Path:
    staged = folder / f"staged-{session_id}"
    staged.mkdir()
    if outcome is not None:
        (staged / "outcome.json").write_text(json.dumps(outcome))
    facts = SessionFacts(session_id, "Tiny model", str(staged), STARTED, 100.0)
    with contextlib.closing(Recorder(folder / "usage", facts)) as recorder:
        for key, model, begun_at, tokens in requests:
            record = made(key_id=f"id-{key}", key_name=key, model=model, begun_at=begun_at)
            recorder.begin(record).settle(200, tokens=Tokens(*tokens))
    return folder / "usage" / f"{session_id}.sqlite3"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Two sessions: one that ended, with 100 SU, and one that runs and has cost 10 until now."""
    write_session(tmp_path, "a", outcome={"su_used": 100.0, "ended_at": NOW - 60}, requests=REQUESTS)
    write_session(tmp_path, "b", outcome={"su_used": 10.0, "ended_at": None}, requests=REQUESTS[:1])
    return tmp_path


def run(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(usage, ["--data-dir", str(data_dir), *arguments])


def document(data_dir: Path, *arguments: str) -> dict[str, Any]:
    result = run(data_dir, "--json", *arguments)
    assert result.exception is None, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def rows(data_dir: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in document(data_dir, *arguments)["rows"]}


def test_keys_share_the_su_of_each_session_by_their_tokens(data_dir: Path) -> None:
    found = rows(data_dir)
    assert list(found) == ["ada", "owner"]
    assert (found["ada"]["requests"], found["ada"]["prompt_tokens"], found["ada"]["completion_tokens"]) == (2, 100, 50)
    assert (found["owner"]["requests"], found["owner"]["cached_tokens"]) == (2, 20)
    assert found["ada"]["su"] == pytest.approx(100 * 150 / 200)
    assert found["owner"]["su"] == pytest.approx(100 * 50 / 200 + 10)
    total = document(data_dir)["total"]
    assert (total["requests"], total["su"]) == (4, pytest.approx(110))


def test_by_model_and_by_day(data_dir: Path) -> None:
    assert {name: row["requests"] for name, row in rows(data_dir, "--by", "model").items()} == {"tiny": 3, "large": 1}
    days = [datetime.fromtimestamp(when).date().isoformat() for when in (LONG_AGO, NOW)]
    assert [(name, row["requests"]) for name, row in rows(data_dir, "--by", "day").items()] == [
        (days[0], 1), (days[1], 3),
    ]  # fmt: skip


@pytest.mark.parametrize("since", ["24h", "7d", "2w", datetime.fromtimestamp(NOW - 86400).date().isoformat()])
def test_since_leaves_out_what_was_before(data_dir: Path, since: str) -> None:
    found = rows(data_dir, "--since", since)
    assert found["ada"]["requests"] == 1
    assert found["ada"]["su"] == pytest.approx(100 * 50 / 200)


def test_the_table_says_what_runs_still(data_dir: Path) -> None:
    text = run(data_dir).output
    assert "2 sessions, 110.00 SU so far: 1 still runs." in text
    assert text.splitlines()[0].split() == [
        "Key", "Requests", "Errors", "Refused", "Prompt", "Cached", "Reply", "Estimated", "Mean", "s", "SU",
    ]  # fmt: skip
    assert text.splitlines()[1].split()[:2] == ["ada", "2"]


def test_a_session_without_its_card_costs_what_it_ran(tmp_path: Path) -> None:
    before = time.time()
    write_session(tmp_path, "a", outcome=None, requests=REQUESTS[:1])
    assert 100 * (before - STARTED) / 3600 <= document(tmp_path)["su_used"] <= 100 * (time.time() - STARTED) / 3600


def test_what_an_ended_session_left_unsettled_is_an_error_and_estimated(tmp_path: Path) -> None:
    path = write_session(tmp_path, "a", outcome={"su_used": 1.0, "ended_at": NOW}, requests=REQUESTS[:1])
    facts = SessionFacts("a", "Tiny model", str(tmp_path / "staged-a"), NOW, 1.0)
    with contextlib.closing(Recorder(path.parent, facts)) as recorder:
        recorder.begin(made(prompt_tokens=9))
        row = rows(tmp_path)["owner"]
    assert (row["requests"], row["errors"], row["estimated"], row["prompt_tokens"]) == (2, 1, 1, 39)


def test_csv_has_no_formulas_of_others(tmp_path: Path) -> None:
    names = ["=1+1", "@x", "a,b"]
    requests = [(name, "tiny", NOW, (1, 0, 0)) for name in names]
    write_session(tmp_path, "a", outcome={"su_used": 1.0, "ended_at": NOW}, requests=requests)
    head, *lines = list(csv.reader(run(tmp_path, "--csv").output.splitlines()))
    assert head[:3] == ["key", "requests", "errors"]
    assert {line[0] for line in lines} == {"'=1+1", "'@x", "a,b"}
    assert {len(line) for line in lines} == {len(head)}


def test_a_name_steers_no_terminal(tmp_path: Path) -> None:
    requests = [("\x07\x1b[2Jada", "tiny", NOW, (1, 0, 0))]
    write_session(tmp_path, "a", outcome={"su_used": 1.0, "ended_at": NOW}, requests=requests)
    assert not {"\x1b", "\x07"} & set(run(tmp_path).output)


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_file_is_left_out_and_named(data_dir: Path, content: bytes) -> None:
    (data_dir / "usage" / "c.sqlite3").write_bytes(content)
    result = run(data_dir, "--by", "model")
    assert "c.sqlite3: not a record" in result.stderr
    assert "2 sessions" in result.stdout


@pytest.mark.parametrize("since", ["yesterday", "1.5h", "7", "2026-13-01", "9999999999d"])
def test_a_time_that_is_none_is_said(data_dir: Path, since: str) -> None:
    error = run(data_dir, "--since", since).exception
    assert "expected a date such as" in str(error)


def test_nobody_has_asked_anything(tmp_path: Path) -> None:
    assert run(tmp_path).output == "No session has left a record of its requests.\n"
    assert document(tmp_path)["rows"] == []

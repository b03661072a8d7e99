"""`llm-hoster logs`: the right file, its last lines, what comes later, and nothing that steers a terminal."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llm_hoster.errors import SessionError
from llm_hoster.logs_command import BLOCK_BYTES, logs, readable, start_of_last_lines
from tests.staged_sessions import ENDED, NOTHING_YET, Stage

TEXTS = {"output.log": "job one\njob two\n", "vllm.log": "engine\n", "web.log": "web\n"}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(logs, ["session-1", *arguments])


@pytest.fixture
def folder(stage: Stage) -> Path:
    folder = stage("session-1", outcome=ENDED)
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("option", "text"), [((), "job one\njob two\n"), (("--job",), "job one\njob two\n"), (("--engine",), "engine\n")]
)
def test_each_log_has_its_option(folder: Path, option: tuple[str, ...], text: str) -> None:
    assert run(*option).stdout == text
    assert run("--web", "-n", "1").stdout == "web\n"


def test_what_is_missing_is_said(folder: Path) -> None:
    (folder / "vllm.log").unlink()
    error = run("--engine").exception
    assert isinstance(error, SessionError)
    assert str(error) == f"{folder}/vllm.log is not there yet: the session has ended without one."


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"\x1b[1;31mred\x1b[0m text\n", "red text"),
        (b"\x1b]0;title\x07\x1b[2J\n", " ]0;title "),
        (b"Loading: 10%\rLoading: 90%\r\n", "Loading: 90%"),
        (b"a\tb\n", "a       b"),
        (b"\xff\xfe caf\xc3\xa9\n", "\ufffd\ufffd café"),
        ("\u202eevil\u2066".encode(), " evil "),
    ],
)
def test_nothing_that_steers_a_terminal_is_shown(line: bytes, shown: str) -> None:
    assert readable(line) == shown


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 9000])
@pytest.mark.parametrize("end", ["\n", "", "\n\n"])
def test_the_last_lines_are_found_from_the_end(count: int, end: str) -> None:
    text = "\n".join(f"line {number} {'x' * (number % 40)}" for number in range(5000)) + end
    assert len(text) > 2 * BLOCK_BYTES
    start = start_of_last_lines(io.BytesIO(text.encode()), count)
    expected = text.splitlines(keepends=True)
    assert text[start:] == "".join(expected[len(expected) - count :] if count < len(expected) else expected)


@pytest.fixture
def follower(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Follow a session that goes on, in a process of its own."""
    (folder / "outcome.json").write_text(json.dumps(NOTHING_YET))
    command = [sys.executable, "-m", "llm_hoster", "logs", "session-1", "-f", "-n", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        yield process
        process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_following_shows_what_comes_and_ends_with_the_session(folder: Path, follower: subprocess.Popen[str]) -> None:
    assert read_line(follower) == "job two\n"
    with (folder / "output.log").open("a") as file:
        file.write("half")
        file.flush()
        file.write(" and half\n")
    assert read_line(follower) == "half and half\n"
    (folder / "output.log").write_text("anew\n")
    assert read_line(follower) == "anew\n"
    with (folder / "output.log").open("a") as file:
        file.write("the last word")
    (folder / "outcome.json").write_text(json.dumps(ENDED))
    assert read_line(follower) == "the last word\n"
    assert follower.wait(20) == 0


def test_following_is_ended_by_ctrl_c_without_a_complaint(folder: Path, follower: subprocess.Popen[str]) -> None:
    assert read_line(follower) == "job two\n"
    follower.send_signal(2)
    assert follower.wait(20) == 0
    assert follower.stderr is not None
    assert follower.stderr.read() == ""

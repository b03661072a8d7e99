"""How far a start is: at a terminal one line that moves and goes away, elsewhere a line for each step."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from llm_hoster.status_command.start_line import StartLine

PROGRAM = """
import json, sys
from llm_hoster.status_command.start_line import StartLine
with StartLine() as line:
    line.tell("Waiting in the queue")
    line._progress.refresh()
    for engine in json.loads(sys.argv[1]):
        line.show(engine)
        line._progress.refresh()
print("over")
"""


def engine(seconds: float, remaining_s: float | None, detail: str) -> dict[str, object]:
    steps = [
        {"title": "Start vLLM", "seconds": 12.0, "status": "done", "detail": ""},
        {"title": "Load the weights", "seconds": seconds, "status": "running", "detail": detail},
    ]
    return {"state": "starting", "steps": steps, "remaining_s": remaining_s}


def test_at_a_terminal_one_line_moves_and_is_gone_in_the_end() -> None:
    reports = [engine(1.0, 39.0, "1 of 15 GiB"), engine(14.0, 26.0, "8 of [red]15 GiB\x1b[2J")]
    reader, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", PROGRAM, json.dumps(reports)]
    with subprocess.Popen(command, stderr=terminal, stdout=subprocess.PIPE, env=environment, text=True) as process:
        os.close(terminal)
        shown = b""
        while chunk := read(reader):
            shown += chunk
        assert process.wait(20) == 0
    os.close(reader)
    text = shown.decode()
    assert "Waiting in the queue" in text
    assert "Load the weights  1 of 15 GiB" in text
    assert "8 of [red]15 GiB [2J" in text  # As it was sent, but for what steers the terminal.
    assert "\x1b[2J" not in text
    assert text.rstrip().endswith("\x1b[2K")


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""  # The other end is closed.


def test_elsewhere_each_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with StartLine() as line:
        line.tell("Waiting in the queue")
        for seconds in (1.0, 2.0):
            line.show(engine(seconds, None, "x"))
    assert capsys.readouterr().err.splitlines() == ["Waiting in the queue", "Start vLLM: 12 s", "Load the weights …"]

"""`llm-hoster logs`: what a session, its engine or its pages have written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import click

from llm_hoster.errors import SessionError
from llm_hoster.own_sessions import OwnSession, find_session
from llm_hoster.session_argument import session_argument
from llm_hoster.status_command.text import clean

FILES = {"job": "output.log", "engine": "vllm.log", "web": "web.log"}
POLL_S = 0.3
BLOCK_BYTES = 65536
# Of a line that never ends, this much is shown at once.
LINE_BYTES_MAX = 2**20


@click.command()
@session_argument
@click.option("--job", "which", flag_value="job", default="job", help="The job's own log, in sentences: the default.")
@click.option("--engine", "which", flag_value="engine", help="vLLM's log.")
@click.option("--web", "which", flag_value="web", help="The log of pages and endpoint.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until the session ends.")
@click.option(
    "-n", "--lines", "count", type=click.IntRange(min=0), help="The last so many lines. Default: all; 10 with -f."
)
def logs(session: str | None, which: str, follow: bool, count: int | None) -> None:
    """
    Print a log of a session of yours: SESSION is its folder, its id, or the beginning of its id.

    It may be left out where only one runs. Control characters are left out: models and users put words into logs.
    """
    found = find_session(session)
    path = found.folder / FILES[which]
    if not path.is_file() and not follow:
        raise SessionError(f"{path} is not there yet: {_why_missing(found)}")
    if count is None and follow:
        count = 10
    try:
        _print(path, count, (lambda: _goes_on(found)) if follow else None)
    except KeyboardInterrupt:
        click.echo()  # The usual end of following, and no failure.


def _why_missing(session: OwnSession) -> str:
    if session.has_ended:
        return "the session has ended without one."
    return "its job waits in the queue, or has just begun." if not session.outcome else "nothing has written it."


def _goes_on(session: OwnSession) -> bool:
    return not session.has_ended


def _print(path: Path, count: int | None, goes_on: Callable[[], bool] | None) -> None:
    """Print the last lines, and what comes as long as `goes_on` says so; once more after it has not."""
    while not path.is_file():
        if goes_on is None or not goes_on():
            return
        time.sleep(POLL_S)
    with path.open("rb") as file:
        file.seek(0 if count is None else start_of_last_lines(file, count))
        is_over = goes_on is None
        while True:
            _print_whole_lines(file, to_the_end=is_over)
            if is_over:
                return
            time.sleep(POLL_S)
            is_over = goes_on is not None and not goes_on()
            if os.fstat(file.fileno()).st_size < file.tell():
                file.seek(0)  # It was begun anew.


def _print_whole_lines(file: BinaryIO, *, to_the_end: bool) -> None:
    """Leave half a line to the next look, unless there is none."""
    while True:
        at = file.tell()
        line = file.readline(LINE_BYTES_MAX)
        if not line or not (line.endswith(b"\n") or to_the_end or len(line) == LINE_BYTES_MAX):
            file.seek(at)
            return
        click.echo(readable(line))


def readable(line: bytes) -> str:
    """Take out what steers a terminal. Of a bar that was drawn over itself, the last state counts."""
    text = line.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2]
    return clean(click.unstyle(text.expandtabs()))


def start_of_last_lines(file: BinaryIO, count: int) -> int:
    """Find where the last `count` lines begin, reading from the end: logs may be large."""
    end = file.seek(0, os.SEEK_END)
    position, found = end, 0
    while position > 0:
        start = max(0, position - BLOCK_BYTES)
        file.seek(start)
        block = file.read(position - start)
        # The last byte of the file ends its last line and begins no other.
        at = len(block) - 1 if position == end and block.endswith(b"\n") else len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found >= count:
                return end if count == 0 else start + at + 1
        position = start
    return end if count == 0 else 0

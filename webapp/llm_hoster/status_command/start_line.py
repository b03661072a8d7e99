"""How far a start is: one line that moves at a terminal, else a line for each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from llm_hoster.engine.record.state import COMING
from llm_hoster.status_command.text import clean, seconds_in_words


class StartLine:
    """On stderr. Use it with `with`: what moves is gone at the end."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(24), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True) if console.is_terminal else None
        self._task = self._progress.add_task("", total=None) if self._progress else None

    def __enter__(self) -> StartLine:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def tell(self, text: str) -> None:
        """Say what is waited for before there is an engine."""
        self._say(text, text, None)

    def show(self, engine: Mapping[str, Any]) -> None:
        """Show the engine's steps, out of its report."""
        steps = engine["steps"]
        if engine["state"] not in COMING or all(step["status"] == "done" for step in steps):
            return  # The steps of the engine before, which writes its last answers.
        took_s = sum(step["seconds"] or 0.0 for step in steps)
        remaining_s = engine["remaining_s"]
        share = None if remaining_s is None else took_s / max(took_s + remaining_s, 0.1)
        for text, moving in _texts(steps):
            self._say(text, moving, share)

    def _say(self, text: str, moving: str, share: float | None) -> None:
        if self._progress and self._task is not None:
            total = None if share is None else 1.0
            self._progress.update(self._task, description=clean(moving), total=total, completed=share or 0.0)
        elif text not in self._told:
            self._told.add(text)
            click.echo(clean(text), err=True)


def _texts(steps: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Give each step that has begun: once for a log, and as it is now for a line that moves."""
    for step in steps:
        if step["status"] == "running":
            yield f"{step['title']} …", f"{step['title']}  {step['detail']}".rstrip()
        elif step["status"] == "done" and step["seconds"] is not None:
            text = f"{step['title']}: {seconds_in_words(step['seconds'])}"
            yield text, text

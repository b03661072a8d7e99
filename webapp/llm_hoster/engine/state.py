"""The engine's state in a file: the supervisor writes it, the pages read it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm_hoster.engine.atomic_file import replace_file

StateName = Literal["starting", "ready", "failed", "stopping", "stopped"]
StepStatus = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class Step:
    """A part of vLLM's start. `seconds` is None while it waits, and grows while it runs."""

    name: str
    title: str
    seconds: float | None
    status: StepStatus


@dataclass(frozen=True)
class State:
    """Times are Unix seconds. `ends_at` is set when a failed session will end by itself, to spare the allocation."""

    state: StateName
    since: float
    started_at: float
    log: str
    cause: str | None = None
    deciding_line: str | None = None
    steps: tuple[Step, ...] = ()
    ready_at: float | None = None
    ends_at: float | None = None


def read_state(path: Path) -> State:
    """Raise OSError when no state was written yet, or none is any more."""
    values = json.loads(path.read_text())
    values["steps"] = tuple(Step(**step) for step in values["steps"])
    return State(**values)


def write_state(path: Path, state: State) -> None:
    """Replace the file at once, so that no reader sees half of it."""
    replace_file(path, json.dumps(dataclasses.asdict(state)))

"""The engine's state in a file: the supervisor writes it, the pages read it."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from llm_hoster.catalogue.compiled import Task
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.engine.record.successor import Successor

StateName = Literal["starting", "ready", "degraded", "restarting", "switching", "stopping", "stopped", "failed"]
StepStatus = Literal["waiting", "running", "done", "failed"]

# States in which vLLM is on its way up, and in which it takes questions.
COMING = ("starting", "restarting", "switching")
SERVING = ("ready", "degraded")
# Longer than the step of a file system's clock.
SETTLED_NS = 100_000_000


@dataclass(frozen=True)
class Step:
    """A part of the start. `seconds` is None while it waits, and grows while it runs."""

    name: str
    title: str
    seconds: float | None
    status: StepStatus
    # How far it is, in words; and what it took in earlier starts of the same kind.
    detail: str = ""
    expected_s: float | None = None


@dataclass(frozen=True)
class Transition:
    """One change of state, or a note of what has happened in it; `at` is in Unix seconds."""

    at: float
    before: StateName
    after: StateName
    cause: str | None
    is_note: bool = False


@dataclass(frozen=True)
class ServedModel:
    """What questions name as their model, and what people call it."""

    name: str
    title: str
    # How the GPUs are shared out to several of it; empty where they serve one together.
    replicas: str = ""
    task: Task = "chat"
    # What tells vLLM its thoughts from its answer; empty where it is not known to think.
    reasoning_parser: str = ""

    @property
    def embeds(self) -> bool:
        return self.task == "embed"


@dataclass(frozen=True)
class Remedy:
    """A button under a failure: start again with these adjustments."""

    title: str
    adjustment: Adjustment


@dataclass(frozen=True)
class AdapterLook:
    """
    The last look into the folder of LoRA adapters, and what came of it. Times are Unix seconds.

    `is_whole`: every adapter in the folder is served as it is there.
    """

    began_at: float
    ended_at: float | None = None
    sentence: str = ""
    is_whole: bool = True


@dataclass(frozen=True)
class State:
    """Times are Unix seconds."""

    state: StateName
    since: float
    started_at: float
    log: str
    model: ServedModel
    cause: str | None = None
    deciding_line: str | None = None
    remedy: Remedy | None = None
    steps: tuple[Step, ...] = ()
    # Seconds until the engine will answer, as earlier starts let expect; None where nobody knows.
    remaining_s: float | None = None
    ready_at: float | None = None
    # When a failed session ends by itself, to spare the allocation.
    ends_at: float | None = None
    # When the session ends because nobody asks anything; set only when that is near.
    idle_ends_at: float | None = None
    # The job's time limit, as Slurm tells it.
    job_ends_at: float | None = None
    # The names of the LoRA adapters that are served beside the model; None where the session has no folder of them.
    adapters: tuple[str, ...] | None = None
    adapter_look: AdapterLook | None = None
    # The name of the model that sleeps beside the one that serves: a change to it takes seconds.
    asleep: str | None = None
    # The next session in a row, once it has taken over: questions go there.
    successor: Successor | None = None
    restarts: int = 0
    # The last ones, oldest first.
    transitions: tuple[Transition, ...] = ()


def read_state(path: Path) -> State:
    """
    Raise OSError when no state was written yet, or none is any more.

    Every request asks for it, and it seldom changes: a file that is the same one is not read again. One that was
    written just now is: the next may have its inode, its size and, as file systems count, its time.
    """
    found = os.stat(path)
    if time.time_ns() - found.st_mtime_ns < SETTLED_NS:
        return _read(path)
    return _read_once(path, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1)
def _read_once(path: Path, *_identity: int) -> State:
    return _read(path)


def _read(path: Path) -> State:
    values = json.loads(path.read_text())
    values["model"] = ServedModel(**values["model"])
    values["steps"] = tuple(Step(**step) for step in values["steps"])
    values["transitions"] = tuple(Transition(**each) for each in values["transitions"])
    if values["remedy"] is not None:
        values["remedy"] = Remedy(values["remedy"]["title"], Adjustment(**values["remedy"]["adjustment"]))
    if values.get("successor") is not None:
        values["successor"] = Successor(**values["successor"])
    if values.get("adapters") is not None:
        values["adapters"] = tuple(values["adapters"])
    if values.get("adapter_look") is not None:
        values["adapter_look"] = AdapterLook(**values["adapter_look"])
    return State(**values)


def write_state(path: Path, state: State) -> None:
    """Replace the file at once, so that no reader sees half of it."""
    replace_file(path, json.dumps(dataclasses.asdict(state)))

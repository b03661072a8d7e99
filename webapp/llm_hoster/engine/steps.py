"""vLLM's start as named steps with their seconds, read from its log lines as they come."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llm_hoster.engine.state import Step, StepStatus

TITLES = {
    "start": "Start vLLM",
    "weights": "Load the model's weights",
    "compile": "Compile the model",
    "kv_cache": "Reserve the memory for conversations",
    "ready": "Open for questions",
}

# The first line that shows that a step has begun. A step that began earlier never begins again.
BEGINS = {
    "weights": re.compile(r"Starting to load model |Loading .*checkpoint shards:|Loading weights took"),
    "compile": re.compile(
        r"Warming up model for the compilation|torch\.compile (takes|took|and)"
        r"|Dynamo bytecode transform|Compiling a graph"
    ),
    "kv_cache": re.compile(r"for KV cache on node|Available KV cache memory|KV cache size:|Capturing CUDA graphs"),
    "ready": re.compile(r"Starting vLLM (API )?server|Started server process|Available routes are"),
}
SHARDS = re.compile(r"checkpoint shards:.*?(\d+)/(\d+)")
STARTED = "Application startup complete"


@dataclass
class _Progress:
    began_at: float | None = None
    ended_at: float | None = None


class StartupSteps:
    """Feed lines in order; times are seconds of any one clock."""

    def __init__(self, started_at: float, *, is_eager: bool) -> None:
        names = [name for name in TITLES if not (is_eager and name == "compile")]
        self._progress = {name: _Progress() for name in names}
        self._progress["start"].began_at = started_at
        self._shards = ""
        self._failed = False
        self.startup_complete = False

    def feed(self, line: str, at: float) -> None:
        for name, pattern in BEGINS.items():
            if pattern.search(line):
                self._begin(name, at)
        shards = SHARDS.search(line)
        if shards:
            self._shards = f" (part {shards[1]} of {shards[2]})"
        if STARTED in line:
            self.startup_complete = True

    def finish(self, at: float) -> None:
        """The engine answers: whatever ran is done."""
        self._begin("ready", at)
        self._end_before(None, at)

    def fail(self, at: float) -> None:
        """The engine died: the step that ran has failed."""
        self._failed = True
        for progress in self._progress.values():
            if progress.began_at is not None and progress.ended_at is None:
                progress.ended_at = at

    def steps(self, now: float) -> tuple[Step, ...]:
        return tuple(self._step(name, progress, now) for name, progress in self._progress.items())

    def _begin(self, name: str, at: float) -> None:
        progress = self._progress.get(name)
        names = list(self._progress)
        if progress is None or name not in names[names.index(self._running()) + 1 :]:
            return
        if name == "compile" and self._progress["weights"].began_at is None:
            return  # Words of a warning about the configuration.
        progress.began_at = at
        self._end_before(name, at)

    def _end_before(self, name: str | None, at: float) -> None:
        """End what runs; drop steps that this start never had (a model that is not compiled)."""
        for other in list(self._progress):
            if other == name:
                return
            progress = self._progress[other]
            if progress.began_at is None:
                del self._progress[other]
            elif progress.ended_at is None:
                progress.ended_at = at

    def _running(self) -> str:
        return [name for name, progress in self._progress.items() if progress.began_at is not None][-1]

    def _step(self, name: str, progress: _Progress, now: float) -> Step:
        title = TITLES[name] + (self._shards if name == "weights" and progress.ended_at is None else "")
        if progress.began_at is None:
            return Step(name, title, None, "waiting")
        ended_at = now if progress.ended_at is None else progress.ended_at
        status: StepStatus = "running" if progress.ended_at is None else "done"
        if self._failed and name == self._running():
            status = "failed"
        return Step(name, title, round(ended_at - progress.began_at, 2), status)


def is_eager(arguments: Sequence[str]) -> bool:
    """Whether vLLM's arguments ask it not to compile."""
    return any(argument in ("--enforce-eager", "-O0", "-O.mode=0") for argument in arguments)

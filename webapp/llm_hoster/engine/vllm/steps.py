"""The start as named steps with their seconds, read from vLLM's log lines as they come. Texts: vLLM 0.32."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llm_hoster.engine.record.state import Step, StepStatus
from llm_hoster.engine.vllm.weights_progress import WeightsProgress

TITLES = {
    "start": "Start vLLM",
    "weights": "Load the model's weights",
    "compile": "Compile the model",
    "kv_cache": "Reserve the memory for conversations",
    "graphs": "Record CUDA graphs",
    "ready": "Open for questions",
}
# vLLM does these only where it compiles.
COMPILED = ("compile", "graphs")

# The first line that shows that a step has begun. A step that began earlier never begins again: workers and engines
# say the same one after the other.
BEGINS = {
    "weights": re.compile(
        r"Starting to load model |Loading .*checkpoint shards[^:]*:|Multi-thread loading .*shards:"
        r"|Loading safetensors using |Loading weights took"
    ),
    "compile": re.compile(
        r"Warming up model for the compilation|Starting torch\.compile|torch\.compile (?:takes|took|and)"
        r"|Dynamo bytecode transform|Compiling a graph|Directly load (?:AOT|the compiled)"
    ),
    "kv_cache": re.compile(
        r"Initial profiling/warmup run took|Profiling CUDA graph memory|for KV cache on node"
        r"|Available KV cache memory|KV cache size:"
    ),
    "graphs": re.compile(r"Capturing CUDA graphs|Graph capturing finished"),
    "ready": re.compile(r"Starting vLLM (?:API )?server|Started server process|Available routes are"),
}
# What must have been said before a step's words mean what they say: of compiling, warnings speak at any time, and to
# measure what they take, vLLM records some graphs before it reserves the rest.
NEEDS = {"compile": BEGINS["weights"], "graphs": re.compile(r"KV cache size:|Graph capturing finished")}
# The weights are there: what comes next has begun, though it says nothing yet. A slower worker may still load.
LOADED = re.compile(r"Model loading took ([\d.]+) GiB")
STARTED = "Application startup complete"

DETAILS = {
    "start": re.compile(r"(?P<architecture>(?<=Resolved architecture: )\w+)"),
    "compile": re.compile(
        r"Directly load (?P<cached>AOT|the compiled)|Compiling a graph .*takes (?P<seconds>[\d.]+) s"
    ),
    "kv_cache": re.compile(
        r"Available KV cache memory: (?P<gib>[\d.]+) GiB"
        r"|KV cache size: (?P<tokens>[\d,]+) tokens, Maximum concurrency for (?P<each>[\d,]+) tokens"
    ),
    "graphs": re.compile(
        r"Capturing CUDA graphs[^:]*:\s*\d+%.*?(?P<done>\d+)/(?P<all>\d+)|Graph capturing .*took (?P<gib>-?[\d.]+) GiB"
    ),
}


@dataclass
class _Progress:
    title: str
    began_at: float | None = None
    ended_at: float | None = None
    detail: str = ""


class StartupSteps:
    """Feed lines in order; times are seconds of any one clock."""

    def __init__(self, started_at: float, *, is_eager: bool, preludes: Sequence[tuple[str, str]] = ()) -> None:
        """`preludes` are the names and titles of what comes before vLLM; without any, vLLM starts at `started_at`."""
        self._progress = {name: _Progress(title) for name, title in preludes}
        self._progress |= {
            name: _Progress(title) for name, title in TITLES.items() if not (is_eager and name in COMPILED)
        }
        self._weights = WeightsProgress()
        self._failed = False
        self._needed = set(NEEDS)
        # The step that began only because the weights seemed to be there.
        self._presumed: str | None = None
        self.startup_complete = False
        if not preludes:
            self.begin_vllm(started_at)

    def begin_prelude(self, name: str, at: float) -> None:
        self._begin(name, at)

    def prelude_detail(self, name: str, text: str) -> None:
        if name in self._progress:
            self._progress[name].detail = text

    def begin_vllm(self, at: float) -> None:
        self._begin("start", at)

    def feed(self, line: str, at: float) -> None:
        if self._progress["start"].began_at is None:
            self.begin_vllm(at)
        self._weights.feed(line, at)
        self._needed = {name for name in self._needed if not NEEDS[name].search(line)}
        for name, pattern in BEGINS.items():
            if pattern.search(line):
                self._begin(name, at)
        if LOADED.search(line) or (self._presumed and BEGINS["weights"].search(line)):
            self._presume(at)
        for name, pattern in DETAILS.items():
            match = pattern.search(line)
            if match and self._is_running(name):
                self._progress[name].detail = _detail(name, match.groupdict()) or self._progress[name].detail
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
        names = list(self._progress)
        running = self._running()
        if name == self._presumed:
            self._presumed = None  # It shows itself.
        if name not in names or name in names[: names.index(running) + 1 if running else 0]:
            return
        if name in self._needed:
            return
        if self._presumed:
            # It never was: its time is that of what comes instead.
            at = self._progress.pop(self._presumed).began_at or at
            self._presumed = None
        self._progress[name].began_at = at
        self._end_before(name, at)

    def _presume(self, at: float) -> None:
        """Let the step after the weights begin, or begin later when another worker was slower."""
        names = list(self._progress)
        if self._running() == "weights":
            following = names[names.index("weights") + 1]
            self._progress["weights"].ended_at = at
            self._progress[following].began_at = at
            self._presumed = following
        elif self._presumed:
            self._progress["weights"].ended_at = at
            self._progress[self._presumed].began_at = at

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

    def _running(self) -> str | None:
        """Name the step that began last."""
        began = [name for name, progress in self._progress.items() if progress.began_at is not None]
        return began[-1] if began else None

    def _is_running(self, name: str) -> bool:
        progress = self._progress.get(name)
        return progress is not None and progress.began_at is not None and progress.ended_at is None

    def _step(self, name: str, progress: _Progress, now: float) -> Step:
        if progress.began_at is None:
            return Step(name, progress.title, None, "waiting", progress.detail)
        ended_at = now if progress.ended_at is None else progress.ended_at
        status: StepStatus = "running" if progress.ended_at is None else "done"
        if self._failed and name == self._running():
            status = "failed"
        detail = self._weights.text(is_done=status != "running") if name == "weights" else progress.detail
        return Step(name, progress.title, round(ended_at - progress.began_at, 2), status, detail)


def _detail(name: str, found: dict[str, str | None]) -> str:
    if name == "start":
        return found["architecture"] or ""
    if name == "compile":
        return "from the cache" if found["cached"] else f"compiled in {float(found['seconds'] or 0):.0f} s"
    if name == "kv_cache":
        if found["gib"]:
            return f"{found['gib']} GiB"
        tokens, each = (int((found[key] or "0").replace(",", "")) for key in ("tokens", "each"))
        if tokens < each:
            return f"{tokens:,} tokens"
        return f"{tokens:,} tokens: {tokens // max(each, 1):,} conversations of {each:,}"
    if found["gib"]:
        return f"{max(float(found['gib']), 0.0):.2f} GiB"
    return f"{found['done']} of {found['all']}"


def is_eager(arguments: Sequence[str]) -> bool:
    """Whether vLLM's arguments ask it not to compile."""
    return any(argument in ("--enforce-eager", "-O0", "-O.mode=0") for argument in arguments)

"""How long a start will take, from the last ones of the same kind."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import re
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.engine.record.state import Step
from llm_hoster.engine.vllm.steps import TITLES
from llm_hoster.regular_file import open_regular

# Files that were written otherwise are not read.
VERSION = 1
STARTS_KEPT = 10
STARTS_USED = 5
STEPS_MAX = 30
SECONDS_MAX = 7 * 24 * 3600.0
BYTES_MAX = 65536
FILES_MAX = 200
# Less than this beyond its time is chance, not news.
TOLERANCE = 1.2
TOLERANCE_S = 5.0


@dataclass(frozen=True)
class StartKey:
    """What makes two starts alike. `engine` names vLLM's version too."""

    model: str
    gpu: str
    gpus: int
    nodes: int
    engine: str
    quantization: str
    preset: str

    @property
    def file_name(self) -> str:
        """Begin with what people can read; the rest keeps apart what looks alike."""
        digest = hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", self.model.rpartition("/")[2])[:40]
        return f"{readable.strip('-.') or 'model'}-{digest}.json"


@dataclass(frozen=True)
class Start:
    """One start that succeeded; `at` is in Unix seconds."""

    at: float
    steps: dict[str, float]


class Estimate:
    """Without an earlier start of the same kind it says nothing: there is no honest guess from other models."""

    def __init__(self, starts: Iterable[Start]) -> None:
        self._starts = sorted(starts, key=lambda start: start.at)[-STARTS_USED:]

    @classmethod
    def read(cls, key: StartKey, folders: Sequence[Path]) -> Estimate:
        """Take the starts of all folders; what is missing, broken or of a stranger counts as empty."""
        return cls(
            start for folder in folders for start in read_starts(folder / key.file_name, key, trusted_owners(folder))
        )

    def expected(self, name: str) -> float | None:
        """
        Give the seconds that a step takes; None where nobody knows.

        The median: one start with a cold cache or a slow file system among five changes it little, and where most are
        such, it is what a person has to expect. They are not kept apart, since nobody knows before which it will be.
        """
        seconds = [start.steps[name] for start in self._starts if name in start.steps]
        if seconds:
            return round(statistics.median(seconds), 1)
        # A step of vLLM that no start of this kind ever had will not come now; a download may.
        return 0.0 if self._starts and name in TITLES else None

    def fill(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Add to each step what it took before."""
        return tuple(dataclasses.replace(step, expected_s=self.expected(step.name)) for step in steps)

    def remaining_s(self, steps: Sequence[Step]) -> float | None:
        """
        Give the seconds until the engine answers.

        None where a step is not known, and where one takes much longer than ever: nobody knows then how long it still
        will. The page sees it in the step itself (`is_longer_than_usual`).
        """
        remaining = 0.0
        for step in self.fill(steps):
            if step.status == "failed":
                return None
            if step.status == "done":
                continue
            if step.expected_s is None or is_longer_than_usual(step):
                return None
            remaining += max(step.expected_s - (step.seconds or 0.0), 0.0)
        return round(remaining, 1)


def is_longer_than_usual(step: Step) -> bool:
    """Whether a running step has taken much longer than it did before."""
    if step.status != "running" or step.seconds is None or step.expected_s is None:
        return False
    return step.seconds > max(step.expected_s * TOLERANCE, step.expected_s + TOLERANCE_S)


def record_start(key: StartKey, steps: Sequence[Step], folder: Path, *, is_shared: bool = False) -> None:
    """
    Add a start that succeeded; `is_shared` lets others read it.

    Of two jobs that end at the same moment, one start may be lost, which does not matter; the file stays whole. A disk
    that is full costs the estimate, not the session.
    """
    if any(step.status != "done" for step in steps):
        return
    start = Start(time.time(), {step.name: step.seconds for step in steps if step.seconds is not None})
    with contextlib.suppress(OSError):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_shared:
                folder.chmod(0o755)  # Whatever the umask says.
        path = folder / key.file_name
        starts = [*read_starts(path, key, trusted_owners(folder)), start][-STARTS_KEPT:]
        replace_file(
            path, json.dumps({"version": VERSION, "key": asdict(key), "starts": [asdict(it) for it in starts]})
        )
        if is_shared:
            path.chmod(0o644)
        _forget_oldest(folder)


def trusted_owners(folder: Path) -> set[int]:
    """Name those whose files count: this user, root, and the owner of what the folder lies in (the prefix)."""
    owners = {0, os.geteuid()}
    with contextlib.suppress(OSError):
        owners.add(folder.parent.stat().st_uid)
    return owners


def read_starts(path: Path, key: StartKey, owners: set[int]) -> list[Start]:
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_uid not in owners:
                return []
            document = json.loads(file.read(BYTES_MAX))
        if document["version"] != VERSION or document["key"] != asdict(key):
            return []
        return [_parse(start) for start in document["starts"][-STARTS_KEPT:]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return []


def _parse(values: Any) -> Start:
    """Raise ValueError for what no start can have been."""
    steps = {str(name): float(seconds) for name, seconds in values["steps"].items()}
    at = float(values["at"])
    if len(steps) > STEPS_MAX or not all(0 <= seconds <= SECONDS_MAX for seconds in steps.values()):
        raise ValueError("not the steps of a start")
    # A start from the future would stay the newest for ever.
    if not math.isfinite(at) or at > time.time() + 3600:
        raise ValueError("not the time of a start")
    return Start(at, steps)


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in files[:-FILES_MAX]:
        path.unlink(missing_ok=True)

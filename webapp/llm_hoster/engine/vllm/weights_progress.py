"""How far the weights are: read from vLLM's words and from the bars of its loaders."""

from __future__ import annotations

import re

SIZE = re.compile(r"Checkpoint size: ([\d.]+) GiB")
# vLLM's own form of tqdm's bar: `Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:09<00:09, ..]`.
BAR = re.compile(r"[Ll]oading ([^:]*): +(\d+)% Completed \| (\S+)/(\S+) \[")
TOOK = re.compile(r"Loading weights took ([\d.]+) seconds")
ON_GPU = re.compile(r"Model loading took ([\d.]+) GiB")
# vLLM prints hundredths; a tiny model has 0.00.
GIB_MIN = 0.01


class WeightsProgress:
    def __init__(self) -> None:
        self._gib = 0.0
        self._percent = 0
        self._part = ""
        self._began_at: float | None = None
        self._bar_at = 0.0
        self._seconds: float | None = None
        self._on_gpu: str | None = None

    def feed(self, line: str, at: float) -> None:
        """Take a line; of several workers, the furthest counts, and of their times the longest."""
        if match := SIZE.search(line):
            self._gib = max(self._gib, float(match[1]))
            self._began_at = self._began_at or at
        if match := BAR.search(line):
            self._began_at = self._began_at or at
            if int(match[2]) >= self._percent:
                self._percent, self._bar_at = int(match[2]), at
                self._part = f"part {match[3]} of {match[4]}" if "shards" in match[1] else f"{match[2]} %"
        if match := TOOK.search(line):
            self._seconds = max(self._seconds or 0.0, float(match[1]))
        if match := ON_GPU.search(line):
            self._on_gpu = match[1]

    def text(self, *, is_done: bool) -> str:
        """Say how much of how much, and how fast; it changes with news only, not with time. Empty = nothing known."""
        if is_done and self._seconds is not None:
            texts = [_amount(self._gib, self._seconds)]
            if self._on_gpu and float(self._on_gpu) >= GIB_MIN:
                texts.append(f"{self._on_gpu} GiB on each GPU")
            return ", ".join(filter(None, texts))
        if self._seconds is not None:
            return ", ".join(filter(None, [_amount(self._gib, self._seconds), "preparing them"]))
        if not self._part:
            return f"{self._gib:.1f} GiB" if self._gib >= GIB_MIN else ""
        if self._gib < GIB_MIN:
            return self._part
        # The parts of a checkpoint are about equal.
        loaded = self._gib * self._percent / 100
        elapsed = self._bar_at - (self._began_at or self._bar_at)
        rate = f", {loaded / elapsed:.2f} GiB/s" if loaded and elapsed >= 1 else ""
        return f"{self._part}, about {loaded:.1f} of {self._gib:.1f} GiB{rate}"


def _amount(gib: float, seconds: float) -> str:
    if gib < GIB_MIN:
        return ""
    return f"{gib:.1f} GiB, {gib / seconds:.2f} GiB/s" if seconds >= 0.1 else f"{gib:.1f} GiB"

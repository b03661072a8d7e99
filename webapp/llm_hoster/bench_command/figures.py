"""What a load has shown: times of single requests in, percentiles out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass
class Answer:
    """One request. Times are seconds; `gaps_s` lie between the pieces of the reply."""

    ttft_s: float | None = None
    duration_s: float = 0.0
    gaps_s: list[float] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Figures:
    """All requests of one concurrency; a percentile is None where no request has been answered."""

    concurrency: int
    answers: Sequence[Answer]
    seconds: float

    @property
    def answered(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.error is None]

    @property
    def errors(self) -> list[str]:
        return [answer.error for answer in self.answers if answer.error is not None]

    def document(self) -> dict[str, Any]:
        answered = self.answered
        return {
            "concurrency": self.concurrency,
            "requests": len(answered),
            "failed": len(self.errors),
            "seconds": round(self.seconds, 3),
            "requests_per_s": round(len(answered) / self.seconds, 3),
            "input_tokens_per_s": round(sum(answer.input_tokens for answer in answered) / self.seconds, 1),
            "output_tokens_per_s": round(sum(answer.output_tokens for answer in answered) / self.seconds, 1),
            "ttft_ms": _percentiles([answer.ttft_s for answer in answered if answer.ttft_s is not None]),
            "itl_ms": _percentiles([gap_s for answer in answered for gap_s in answer.gaps_s]),
            "latency_ms": _percentiles([answer.duration_s for answer in answered]),
        }


def _percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Nearest rank: a time that was measured, and none between two."""
    ordered = sorted(seconds)
    return {
        name: round(ordered[math.ceil(share * len(ordered)) - 1] * 1000, 2) if ordered else None
        for name, share in SHARES.items()
    }

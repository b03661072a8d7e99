"""What the session's panel shows of the engine and the GPUs at this moment."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.engine.vllm.figures import Figures, parse_figures, read_metrics
from llm_hoster.status.gpu import Gpu
from llm_hoster.status.gpus import SessionGpus
from llm_hoster.status.reading import Reading

# Pages ask every 5 s: two or three of their readings make one rate.
WINDOW_S = 12.0


@dataclass(frozen=True)
class EngineGauges:
    """`kv_cache_usage` and `prefix_cache_hit_rate` are shares from 0 to 1; a rate is None before a second reading."""

    requests_running: int
    requests_waiting: int
    generation_tokens_per_s: float | None
    prompt_tokens_per_s: float | None
    kv_cache_usage: float
    # Since vLLM started; None before the first question.
    prefix_cache_hit_rate: float | None


@dataclass(frozen=True)
class Gauges:
    """`engine` is None while vLLM does not answer; `gpus` are those of this node."""

    engine: EngineGauges | None
    gpus: tuple[Gpu, ...]


class Throughput:
    """Tokens per second, from counters that were read now and some seconds ago."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int, int]] = deque()

    def rates(self, figures: Figures, now: float) -> tuple[float | None, float | None]:
        """Take a reading; give generated and prompt tokens per second, None where this is the first."""
        readings = self._readings
        if readings and figures.generation_tokens + figures.prompt_tokens < readings[-1][1] + readings[-1][2]:
            readings.clear()  # vLLM was started again, and counts from nothing.
        while readings and readings[0][0] < now - WINDOW_S:
            readings.popleft()
        readings.append((now, figures.generation_tokens, figures.prompt_tokens))
        began_at, generated, prompted = readings[0]
        if began_at == now:
            return None, None
        elapsed = now - began_at
        return (figures.generation_tokens - generated) / elapsed, (figures.prompt_tokens - prompted) / elapsed


class GaugeReader:
    """One for the whole app: its readers share what was read."""

    def __init__(self, socket_path: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._socket_path = socket_path
        self._throughput = Throughput()
        self._gpus: Reading[tuple[Gpu, ...]] = Reading(SessionGpus.of(environment).read, ())
        self._engine: Reading[tuple[str, EngineGauges] | None] = Reading(self._read_engine, None)

    def read(self) -> Gauges:
        return Gauges(engine=self.engine(), gpus=self._gpus.get())

    def latest(self) -> Gauges:
        """Give what somebody has read a moment ago: a page must not wait for it."""
        engine = self._engine.latest()
        return Gauges(engine=None if engine is None else engine[1], gpus=self._gpus.latest())

    def engine(self) -> EngineGauges | None:
        """Give those of the engine alone."""
        engine = self._engine.get()
        return None if engine is None else engine[1]

    def metrics_text(self) -> str:
        """Give vLLM's own text of its figures; empty while it does not answer."""
        engine = self._engine.get()
        return "" if engine is None else engine[0]

    def _read_engine(self) -> tuple[str, EngineGauges] | None:
        text = read_metrics(self._socket_path)
        figures = None if text is None else parse_figures(text)
        if text is None or figures is None:
            return None
        generated, prompted = self._throughput.rates(figures, time.monotonic())
        queries = figures.prefix_cache_queries
        return text, EngineGauges(
            requests_running=figures.requests_running,
            requests_waiting=figures.requests_waiting,
            generation_tokens_per_s=generated,
            prompt_tokens_per_s=prompted,
            kv_cache_usage=figures.kv_cache_usage,
            prefix_cache_hit_rate=figures.prefix_cache_hits / queries if queries else None,
        )

"""vLLM's own figures, as /metrics gives them. Names and kinds: vllm/v1/metrics/loggers.py."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 2.0
# Labels are of no interest: the engines of a session are one to its people.
SAMPLE = re.compile(r"^vllm:(\w+)(?:\{.*\})? ([-+.\w]+)$", re.MULTILINE)
SHARES = ("kv_cache_usage_perc",)  # of several engines the fullest counts; all else adds up


@dataclass(frozen=True)
class Figures:
    """Counters since vLLM started; `kv_cache_usage` is a share from 0 to 1."""

    requests_running: int
    requests_waiting: int
    requests_ended: int
    prompt_tokens: int
    generation_tokens: int
    # Grows with every step of the engine, also while a long prompt is read and no other counter moves.
    iteration_tokens: int
    kv_cache_usage: float
    prefix_cache_queries: int
    prefix_cache_hits: int
    preemptions: int

    @property
    def are_requests_open(self) -> bool:
        return self.requests_running + self.requests_waiting > 0

    @property
    def work(self) -> int:
        """A number that changes whenever vLLM does anything for anybody."""
        return self.iteration_tokens + self.prompt_tokens + self.generation_tokens + self.requests_ended


def parse_figures(text: str) -> Figures | None:
    """Give None where the text is not what vLLM says of itself."""
    found: dict[str, float] = defaultdict(float)
    for name, value in SAMPLE.findall(text):
        try:
            number = float(value)
        except ValueError:
            return None
        found[name] = max(found[name], number) if name in SHARES else found[name] + number
    if "num_requests_running" not in found or not all(map(math.isfinite, found.values())):
        return None
    return Figures(
        requests_running=int(found["num_requests_running"]),
        requests_waiting=int(found["num_requests_waiting"]),
        requests_ended=int(found["request_success_total"]),
        prompt_tokens=int(found["prompt_tokens_total"]),
        generation_tokens=int(found["generation_tokens_total"]),
        iteration_tokens=int(found["iteration_tokens_total_sum"]),
        kv_cache_usage=found["kv_cache_usage_perc"],
        prefix_cache_queries=int(found["prefix_cache_queries_total"]),
        prefix_cache_hits=int(found["prefix_cache_hits_total"]),
        preemptions=int(found["num_preemptions_total"]),
    )


def read_metrics(socket_path: Path, timeout_s: float = TIMEOUT_S) -> str | None:
    """Give the text of /metrics; None where vLLM does not answer in time."""
    # Imported here: urllib3 takes longer to load than all that must happen before vLLM starts.
    from urllib3.exceptions import HTTPError

    from llm_hoster.engine.vllm.connection import EnginePool

    try:
        answer = EnginePool(socket_path).request("GET", "/metrics", timeout=timeout_s)
    except (HTTPError, OSError):
        return None
    return answer.data.decode(errors="replace") if answer.status == 200 else None


def read_figures(socket_path: Path, timeout_s: float = TIMEOUT_S) -> Figures | None:
    text = read_metrics(socket_path, timeout_s)
    return None if text is None else parse_figures(text)

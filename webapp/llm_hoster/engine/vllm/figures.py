"""vLLM's own figures, as /metrics gives them. Names and kinds: vllm/v1/metrics/loggers.py."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from llm_hoster.engine.vllm.request import get

TIMEOUT_S = 2.0
# The engines of a session, which are its replicas, are one to its people: only its pulse tells them apart.
SAMPLE = re.compile(r"^vllm:(\w+)(\{.*\})? ([-+.\w]+)$", re.MULTILINE)
ENGINE = re.compile(r'[{,]engine="(\w*)"')
OPEN = ("num_requests_running", "num_requests_waiting")
# One of these changes whenever vLLM does anything for anybody. The first grows with every step of the engine, also
# while a long prompt is read and no other counter moves.
WORK = ("iteration_tokens_total_sum", "prompt_tokens_total", "generation_tokens_total", "request_success_total")
SHARES = ("kv_cache_usage_perc",)  # of several engines the fullest counts; all else adds up


@dataclass
class Replica:
    """One engine: its open questions, and a number that changes whenever it does anything for anybody."""

    questions: int = 0
    work: int = 0


@dataclass(frozen=True)
class Figures:
    """Counters since vLLM started; `kv_cache_usage` is a share from 0 to 1."""

    requests_running: int
    requests_waiting: int
    requests_ended: int
    prompt_tokens: int
    generation_tokens: int
    kv_cache_usage: float
    prefix_cache_queries: int
    prefix_cache_hits: int
    preemptions: int
    # By the name that vLLM gives its engine: "0", "1".
    replicas: Mapping[str, Replica]

    @property
    def are_requests_open(self) -> bool:
        return self.requests_running + self.requests_waiting > 0


def parse_figures(text: str) -> Figures | None:
    """Give None where the text is not what vLLM says of itself."""
    found: dict[str, float] = defaultdict(float)
    replicas: dict[str, Replica] = defaultdict(Replica)
    for name, labels, value in SAMPLE.findall(text):
        try:
            number = float(value)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        found[name] = max(found[name], number) if name in SHARES else found[name] + number
        engine = ENGINE.search(labels)
        if name in OPEN:
            replicas[engine[1] if engine else ""].questions += int(number)
        elif name in WORK:
            replicas[engine[1] if engine else ""].work += int(number)
    if "num_requests_running" not in found:
        return None
    return Figures(
        requests_running=int(found["num_requests_running"]),
        requests_waiting=int(found["num_requests_waiting"]),
        requests_ended=int(found["request_success_total"]),
        prompt_tokens=int(found["prompt_tokens_total"]),
        generation_tokens=int(found["generation_tokens_total"]),
        kv_cache_usage=found["kv_cache_usage_perc"],
        prefix_cache_queries=int(found["prefix_cache_queries_total"]),
        prefix_cache_hits=int(found["prefix_cache_hits_total"]),
        preemptions=int(found["num_preemptions_total"]),
        replicas=replicas,
    )


def read_metrics(socket_path: Path, timeout_s: float = TIMEOUT_S) -> str | None:
    """Give the text of /metrics; None where vLLM does not answer in time."""
    try:
        status, text = get(socket_path, "/metrics", timeout_s)
    except OSError:
        return None
    return text.decode(errors="replace") if status == HTTPStatus.OK else None


def read_figures(socket_path: Path, timeout_s: float = TIMEOUT_S) -> Figures | None:
    text = read_metrics(socket_path, timeout_s)
    return None if text is None else parse_figures(text)

"""The requests of this process for Prometheus. Names of keys and models are few, and what is over that is one more."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llm_hoster.usage.record import RequestRecord
from llm_hoster.usage.recorder import Recorder

# Distinct values of a label; all others are OTHER.
KEYS_MAX = 50
MODELS_MAX = 20
OTHER = "other"
# A word and a long book, in seconds.
REQUEST_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
FIRST_BYTE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# A time at which each series began doubles their number, and no panel shows it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Names:
    """The first so many values of a label. A value that nobody vouches for is none."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, name: str, *, is_sure: bool = True) -> str:
        if name in self._known:
            return name
        if not is_sure or len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


class RequestFigures(Collector):
    """Counts what a recorder tells, from the start of this process."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._keys = Names(KEYS_MAX)
        self._models = Names(MODELS_MAX)
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "llm_hoster_requests", "Requests that have ended.", ["key", "model", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._tokens = Counter(
            "llm_hoster_tokens", "Tokens of prompts and replies; the cached are a part of the prompts'.",
            ["key", "model", "kind"], registry=self._registry,
        )  # fmt: skip
        self._refused = Counter(
            "llm_hoster_refused", "Requests that were refused before the engine was asked.", ["reason"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "llm_hoster_request_seconds", "From the question to the end of its answer.", buckets=REQUEST_BUCKETS,
            registry=self._registry,
        )  # fmt: skip
        self._first_byte_seconds = Histogram(
            "llm_hoster_first_byte_seconds", "From the question to the first word of a streamed answer.",
            buckets=FIRST_BYTE_BUCKETS, registry=self._registry,
        )  # fmt: skip
        recorder.listeners.append(self._take)

    def collect(self) -> Iterable[Metric]:
        yield from self._registry.collect()
        running = GaugeMetricFamily("llm_hoster_requests_running", "Requests being answered.", labels=["key"])
        by_label: dict[str, int] = {}
        for key, number in self._recorder.running().items():
            label = self._keys.label(key)
            by_label[label] = by_label.get(label, 0) + number
        for label, number in by_label.items():
            running.add_metric([label], number)
        yield running

    def _take(self, record: RequestRecord) -> None:
        if record.duration_s is None:  # It was refused.
            self._refused.labels(record.error_code or str(record.status)).inc()
            return
        # A wrong key of a model is found out by the engine, which then answers with an error.
        is_sure = record.status is not None and record.status < HTTPStatus.BAD_REQUEST
        key, model = self._keys.label(record.key_name), self._models.label(record.model, is_sure=is_sure)
        self._requests.labels(key, model, record.route, str(record.status)).inc()
        for kind in ("prompt", "cached", "completion"):
            self._tokens.labels(key, model, kind).inc(getattr(record, f"{kind}_tokens"))
        self._seconds.observe(record.duration_s)
        if record.first_byte_s is not None:
            self._first_byte_seconds.observe(record.first_byte_s)

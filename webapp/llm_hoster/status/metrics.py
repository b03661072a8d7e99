"""The session's own figures in Prometheus' text format, for beside vLLM's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.registry import Collector

from llm_hoster.engine.record.state import State, StateName
from llm_hoster.status.gpu import Gpu
from llm_hoster.status.report import Report

# vLLM answers in this version of the format too.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

GPU_FIGURES = {
    "llm_hoster_gpu_use_ratio": "Share of the time in which the GPU worked, from 0 to 1.",
    "llm_hoster_gpu_memory_used_bytes": "GPU memory in use, by whoever uses it.",
    "llm_hoster_gpu_memory_total_bytes": "GPU memory there is.",
    "llm_hoster_gpu_temperature_celsius": "Temperature of the GPU; of a MIG slice, that of its whole GPU.",
    "llm_hoster_gpu_power_watts": "Power that the GPU draws.",
}


class SessionCollector(Collector):
    """The figures of one moment."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        report = self._report
        yield from _engine_figures(report.engine)
        yield GaugeMetricFamily("llm_hoster_time_left_seconds", "Time until the job's limit.", value=report.time_left_s)
        yield GaugeMetricFamily("llm_hoster_su_used", "Service units used since the job's start.", value=report.su_used)
        yield from _gpu_figures(report.gauges.gpus)


def session_metrics(report: Report, *others: Collector) -> str:
    registry = CollectorRegistry(auto_describe=False)
    for collector in (SessionCollector(report), *others):
        registry.register(collector)
    return generate_latest(registry).decode()


def _engine_figures(state: State) -> Iterable[Metric]:
    model = GaugeMetricFamily("llm_hoster_model_info", "Which model is served; always 1.", labels=["model"])
    model.add_metric([state.model.name], 1)
    yield model
    states = {name: name == state.state for name in get_args(StateName)}
    yield StateSetMetricFamily("llm_hoster_engine_state", "1 for the state that the engine is in.", value=states)
    yield CounterMetricFamily("llm_hoster_restarts", "Times that vLLM was started again.", value=state.restarts)
    if state.ready_at is not None:
        seconds = state.ready_at - state.started_at
        documentation = "From the session's start until the model answered."
        yield GaugeMetricFamily("llm_hoster_ready_after_seconds", documentation, value=seconds)


def _gpu_figures(gpus: Sequence[Gpu]) -> Iterable[Metric]:
    for name, documentation in GPU_FIGURES.items():
        family = GaugeMetricFamily(name, documentation, labels=["gpu", "name"])
        for number, gpu in enumerate(gpus):
            value = _value(name, gpu)
            if value is not None:
                family.add_metric([str(number), gpu.name], value)
        yield family


def _value(name: str, gpu: Gpu) -> float | None:
    if name == "llm_hoster_gpu_use_ratio":
        return None if gpu.use_percent is None else gpu.use_percent / 100
    figure: float | None = getattr(gpu, name.removeprefix("llm_hoster_gpu_"))
    return figure

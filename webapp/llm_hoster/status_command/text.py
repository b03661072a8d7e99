"""The standing of a session for a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from llm_hoster.engine.record.state import SERVING
from llm_hoster.own_sessions import model_of
from llm_hoster.status_command.standing import Standing

CONDITIONS = {
    "waiting": "no word from its job yet: it waits in the queue, or was never started",
    "beginning": "its job has begun, and has no address yet",
}


def standing_text(standing: Standing) -> str:
    try:
        lines = [f"{standing.session.id}  {_model(standing)}"]
        lines += [f"  {title:<10} {clean(text)}" for title, text in _lines(standing)]
    except (KeyError, TypeError, ValueError):
        # A running session keeps the version of the app that it was started with.
        lines = [standing.session.id, "  It says of itself what this version of LLM Hoster does not know. Try --json."]
    return "\n".join(lines)


def clean(text: object) -> str:
    """Keep what a terminal shows, and nothing that steers it: models and logs put words into what a session says."""
    return "".join(character if character.isprintable() else " " for character in str(text))


def seconds_in_words(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _model(standing: Standing) -> str:
    if standing.report is not None:
        return clean(f"{standing.report['engine']['model']['title']} on {standing.report['gpu_title']}")
    values = standing.session.context()
    return clean(f"{model_of(values)} on {values.get('gpu_type')}")


def _lines(standing: Standing) -> Iterator[tuple[str, str]]:
    if standing.report is not None:
        yield from _report_lines(standing.report)
    elif standing.condition == "ended":
        yield from _outcome_lines(standing.outcome)
    else:
        yield "State", CONDITIONS.get(standing.condition) or standing.problem or ""
    yield "Folder", str(standing.session.folder)


def _report_lines(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    engine = report["engine"]
    yield "State", _state(engine)
    for step in engine["steps"] if engine["state"] not in SERVING else ():
        seconds = "" if step["seconds"] is None else seconds_in_words(step["seconds"])
        yield "", f"  {step['status']:<8} {step['title']:<40} {seconds:>12}  {step['detail']}".rstrip()
    if engine["cause"]:
        yield "Cause", engine["cause"]
    if engine["state"] == "failed":
        yield "Log", engine["log"]
    yield from _adapter_lines(engine)
    yield "Time left", seconds_in_words(report["time_left_s"])
    left = "" if report["su_left"] is None else f", {report['su_left']:,.1f} left in the account"
    yield "SU", f"{report['su_used']:,.1f} so far{left}"
    yield from _gauge_lines(report["gauges"])
    yield "Address", report["base_url"]


def _adapter_lines(engine: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Nothing for a session without a folder of them, nor for one of an earlier version."""
    names, look = engine.get("adapters"), engine.get("adapter_look")
    if names is None:
        return
    yield "Adapters", ", ".join(names) or "none"
    if look is not None:
        yield "", "being looked for" if look["ended_at"] is None else look["sentence"]


def _state(engine: Mapping[str, Any]) -> str:
    text = f"{engine['state']} for {seconds_in_words(max(0.0, time.time() - engine['since']))}"
    if engine["remaining_s"] is not None:
        text += f", about {seconds_in_words(engine['remaining_s'])} to go"
    if engine["restarts"]:
        text += f", started again {engine['restarts']} times"
    return text


def _gauge_lines(gauges: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    engine = gauges["engine"]
    if engine is not None:
        text = f"{engine['requests_running']} running, {engine['requests_waiting']} waiting"
        if engine["generation_tokens_per_s"] is not None:
            text += f", {engine['generation_tokens_per_s']:,.0f} tokens/s"
        yield "Requests", f"{text}, KV cache {engine['kv_cache_usage']:.0%} full"
    for number, gpu in enumerate(gauges["gpus"]):
        figures = [gpu["name"]]
        if gpu["use_percent"] is not None:
            figures.append(f"{gpu['use_percent']} % used")
        if gpu["memory_total_bytes"]:
            gib = 1024**3
            figures.append(f"{gpu['memory_used_bytes'] / gib:.1f} of {gpu['memory_total_bytes'] / gib:.0f} GiB")
        if gpu["temperature_celsius"] is not None:
            figures.append(f"{gpu['temperature_celsius']} °C")
        if gpu["power_watts"] is not None:
            figures.append(f"{gpu['power_watts']:.0f} W")
        yield f"GPU {number}", ", ".join(figures)


def _outcome_lines(outcome: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    ended_at = outcome.get("ended_at")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(ended_at)) if isinstance(ended_at, int | float) else ""
    yield "State", f"ended {when}".rstrip()
    yield "Reason", str(outcome.get("reason") or "it left no word")
    if outcome.get("deciding_line"):
        yield "Its log", str(outcome["deciding_line"])
    if isinstance(outcome.get("su_used"), int | float):
        yield "SU", f"{outcome['su_used']:,.2f} used"

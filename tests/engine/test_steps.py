"""vLLM's start as steps, from what it really printed."""

from __future__ import annotations

import re

import pytest

from llm_hoster.engine.steps import StartupSteps, is_eager
from tests.engine.recorded_log import recorded_lines

CLOCK = re.compile(r" (\d\d):(\d\d):(\d\d) ")


def replay(log: str, *, is_eager: bool, until: str = "Application startup complete") -> tuple[StartupSteps, float]:
    """Feed a recorded log up to a line, with the times that its lines carry."""
    lines = recorded_lines(log)
    now = next(seconds(line) for line in lines if CLOCK.search(line))
    steps = StartupSteps(now, is_eager=is_eager)
    for line in lines:
        now = seconds(line) if CLOCK.search(line) else now
        steps.feed(line, now)
        if until in line:
            break
    return steps, now


def seconds(line: str) -> float:
    match = CLOCK.search(line)
    assert match is not None
    hours, minutes, rest = map(int, match.groups())
    return float(hours * 3600 + minutes * 60 + rest)


def test_an_eager_start_has_four_steps_with_their_seconds():
    steps, now = replay("ready_eager", is_eager=True)
    assert steps.startup_complete
    steps.finish(now)
    assert [(step.name, step.status) for step in steps.steps(now + 9)] == [
        ("start", "done"),
        ("weights", "done"),
        ("kv_cache", "done"),
        ("ready", "done"),
    ]
    assert sum(step.seconds for step in steps.steps(now)) == pytest.approx(95, abs=1)


def test_a_compiled_start_has_the_compilation_between_weights_and_kv_cache():
    steps, now = replay("ready_compiled", is_eager=False)
    steps.finish(now)
    assert [step.name for step in steps.steps(now)] == ["start", "weights", "compile", "kv_cache", "ready"]
    assert all(step.status == "done" for step in steps.steps(now))


def test_what_comes_later_waits():
    steps, now = replay("ready_eager", is_eager=True, until="Starting to load model")
    assert [(step.status, step.seconds) for step in steps.steps(now + 3)][1:] == [
        ("running", 3.0),
        ("waiting", None),
        ("waiting", None),
    ]


def test_the_weights_tell_how_far_they_are():
    steps = StartupSteps(0, is_eager=True)
    steps.feed("Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:09<00:09]", 5)
    assert steps.steps(6)[1].title == "Load the model's weights (part 2 of 4)"


def test_a_word_of_compilation_before_the_weights_begins_nothing():
    steps = StartupSteps(0, is_eager=False)
    steps.feed("WARNING: torch.compile takes long on this platform", 1)
    assert steps.steps(2)[0].status == "running"


def test_the_step_that_ran_when_vllm_died_has_failed():
    steps, now = replay("truncated_weights", is_eager=True, until="no such line")
    steps.fail(now)
    assert [step.status for step in steps.steps(now)] == ["done", "failed", "waiting", "waiting"]


def test_a_model_that_was_not_compiled_has_no_such_step():
    steps = StartupSteps(0, is_eager=False)
    steps.feed("Starting to load model /models/tiny...", 1)
    steps.feed("GPU KV cache size: 1,000 tokens", 2)
    assert [step.name for step in steps.steps(3)] == ["start", "weights", "kv_cache", "ready"]


def test_eager_is_read_from_the_arguments():
    assert is_eager(["serve", "--enforce-eager"])
    assert not is_eager(["serve", "-O2"])

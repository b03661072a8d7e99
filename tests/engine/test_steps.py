"""vLLM's start as steps, from what it really printed."""

from __future__ import annotations

import re

import pytest

from llm_hoster.engine.vllm.steps import StartupSteps, is_eager
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


def spans(steps: StartupSteps, now: float) -> dict[str, float | None]:
    return {step.name: step.seconds for step in steps.steps(now)}


def details(steps: StartupSteps, now: float) -> dict[str, str]:
    return {step.name: step.detail for step in steps.steps(now)}


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


def test_a_compiled_start_on_a_cpu_has_no_graphs():
    steps, now = replay("ready_compiled", is_eager=False)
    steps.finish(now)
    assert [step.name for step in steps.steps(now)] == ["start", "weights", "compile", "kv_cache", "ready"]
    assert all(step.status == "done" for step in steps.steps(now))


def test_a_start_on_gpus_has_all_steps():
    steps, now = replay("gpu_start", is_eager=False)
    steps.finish(now)
    # The slower of two workers ends the weights; the compiling begins there, before it says a word.
    assert spans(steps, now) == {
        "start": 20.0,
        "weights": 42.0,
        "compile": 18.0,
        "kv_cache": 3.0,
        "graphs": 10.0,
        "ready": 0.0,
    }


def test_a_start_on_gpus_tells_its_figures():
    steps, now = replay("gpu_start", is_eager=False)
    steps.finish(now)
    assert details(steps, now) == {
        "start": "",
        "weights": "25.0 GiB, 1.00 GiB/s, 12.66 GiB on each GPU",
        "compile": "from the cache",
        "kv_cache": "410,112 tokens: 12 conversations of 32,768",
        "graphs": "0.61 GiB",
        "ready": "",
    }


def test_no_step_jumps_backwards():
    """Nor does one end twice: workers and engines say the same, one after the other."""
    steps = StartupSteps(0, is_eager=False)
    furthest = -1
    for at, line in enumerate(recorded_lines("gpu_start")):
        steps.feed(line, at)
        steps.feed(line.replace("TP0", "TP1"), at)
        running = [index for index, step in enumerate(steps.steps(at)) if step.status == "running"]
        assert len(running) == 1
        assert running[0] >= furthest
        furthest = running[0]


def test_graphs_that_are_recorded_to_measure_their_memory_are_not_the_step():
    steps, now = replay("gpu_start", is_eager=False, until="Estimated CUDA graph memory")
    assert [step.name for step in steps.steps(now) if step.status == "running"] == ["kv_cache"]


def test_graphs_tell_how_many_are_recorded():
    steps, now = replay("gpu_start", is_eager=False, until="(mixed prefill-decode, PIECEWISE)")
    assert details(steps, now)["graphs"] == "33 of 51"


def test_the_slowest_of_rays_workers_ends_the_weights():
    steps, now = replay("ray_weights", is_eager=True, until="no such line")
    steps.feed("INFO 04-01 11:25:30 [gpu_worker.py:760] Available KV cache memory: 50.11 GiB", now + 7)
    assert spans(steps, now + 7)["weights"] == 158.0
    assert spans(steps, now + 7)["kv_cache"] == 7.0


def test_a_model_that_is_not_compiled_gives_the_time_to_what_came_instead():
    steps = StartupSteps(0, is_eager=False)
    steps.feed("Starting to load model /models/tiny...", 1)
    steps.feed("Model loading took 1.00 GiB memory and 3.0 seconds", 4)
    steps.feed("Available KV cache memory: 5.00 GiB", 9)
    assert spans(steps, 10) == {"start": 1.0, "weights": 3.0, "kv_cache": 6.0, "graphs": None, "ready": None}


def test_what_comes_later_waits():
    steps, now = replay("ready_eager", is_eager=True, until="Starting to load model")
    assert [(step.status, step.seconds) for step in steps.steps(now + 3)][1:] == [
        ("running", 3.0),
        ("waiting", None),
        ("waiting", None),
    ]


@pytest.mark.parametrize(
    ("bar", "detail"),
    [
        (
            "Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:09<00:09,  4.50s/it]",
            "part 2 of 4, about 10.0 of 20.0 GiB, 1.00 GiB/s",
        ),
        (
            "Multi-thread loading shards:  25% Completed | 1/4 [00:09<00:09,  4.50s/it]",
            "part 1 of 4, about 5.0 of 20.0 GiB, 0.50 GiB/s",
        ),
        (
            "Loading safetensors using Runai Model Streamer:  50% Completed | 120/240 [00:09<00:09, 13.00it/s]",
            "50 %, about 10.0 of 20.0 GiB, 1.00 GiB/s",
        ),
    ],
)
def test_the_weights_tell_how_far_they_are(bar, detail):
    steps = StartupSteps(0, is_eager=True)
    steps.feed("Starting to load model /models/m...", 1)
    steps.feed("Filesystem type for checkpoints: NFS. Checkpoint size: 20.00 GiB. Available RAM: 99.00 GiB.", 2)
    assert details(steps, 3)["weights"] == "20.0 GiB"
    steps.feed(bar, 12)
    assert details(steps, 99)["weights"] == detail
    assert steps.steps(99)[1].title == "Load the model's weights"


def test_of_several_workers_the_furthest_bar_and_the_longest_time_count():
    steps = StartupSteps(0, is_eager=True)
    steps.feed("Filesystem type for checkpoints: NFS. Checkpoint size: 20.00 GiB. Available RAM: 99.00 GiB.", 1)
    for part in (3, 2):
        bar = f"Loading safetensors checkpoint shards:  {part * 25}% Completed | {part}/4 [00:09<00:09,  4.50s/it]"
        steps.feed(bar, 11)
    assert details(steps, 12)["weights"] == "part 3 of 4, about 15.0 of 20.0 GiB, 1.50 GiB/s"
    for seconds in (20, 10):
        steps.feed(f"Loading weights took {seconds}.00 seconds", 21)
    assert details(steps, 22)["weights"] == "20.0 GiB, 1.00 GiB/s, preparing them"


def test_a_model_of_no_size_tells_its_parts():
    steps, now = replay("ready_eager", is_eager=True, until="1/1 [")
    assert details(steps, now)["weights"] == "part 1 of 1"


def test_a_word_of_compilation_before_the_weights_begins_nothing():
    steps = StartupSteps(0, is_eager=False)
    steps.feed("WARNING: torch.compile takes long on this platform", 1)
    assert steps.steps(2)[0].status == "running"


def test_the_step_that_ran_when_vllm_died_has_failed():
    steps, now = replay("truncated_weights", is_eager=True, until="no such line")
    steps.fail(now)
    assert [step.status for step in steps.steps(now)] == ["done", "failed", "waiting", "waiting"]


def test_preludes_come_first_and_vllm_starts_after_them():
    steps = StartupSteps(100, is_eager=True, preludes=[("download", "Download the model"), ("ray", "Start Ray")])
    assert {step.status for step in steps.steps(100)} == {"waiting"}
    steps.begin_prelude("download", 101)
    steps.prelude_detail("download", "3.1 of 15.0 GiB, 120 MB/s")
    assert [(step.title, step.detail, step.seconds) for step in steps.steps(111)][:2] == [
        ("Download the model", "3.1 of 15.0 GiB, 120 MB/s", 10.0),
        ("Start Ray", "", None),
    ]
    steps.begin_prelude("ray", 121)
    steps.begin_vllm(131)
    steps.feed("Starting to load model /models/tiny...", 140)
    assert [(step.name, step.status, step.seconds) for step in steps.steps(141)][:4] == [
        ("download", "done", 20.0),
        ("ray", "done", 10.0),
        ("start", "done", 9.0),
        ("weights", "running", 1.0),
    ]


def test_a_prelude_that_fails_is_the_step_that_failed():
    steps = StartupSteps(100, is_eager=True, preludes=[("download", "Download the model")])
    steps.begin_prelude("download", 101)
    steps.fail(105)
    assert [step.status for step in steps.steps(110)][:2] == ["failed", "waiting"]


def test_a_prelude_with_nothing_to_do_is_left_out():
    steps = StartupSteps(100, is_eager=True, preludes=[("download", "Download the model")])
    steps.begin_vllm(100)
    assert [step.name for step in steps.steps(101)][:2] == ["start", "weights"]


def test_eager_is_read_from_the_arguments():
    assert is_eager(["serve", "--enforce-eager"])
    assert not is_eager(["serve", "-O2"])

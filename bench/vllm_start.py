"""One start of vLLM alone, with the seconds of its steps."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from llm_hoster.engine.vllm.steps import StartupSteps, is_eager

READY_TIMEOUT_S = 600.0
READY = "ready"


@dataclass
class Start:
    """Seconds of each step, and until vLLM was ready."""

    steps: dict[str, float] = field(default_factory=dict)
    ready_s: float = 0.0
    # What the program beside it said last.
    said: str = ""


def start_vllm(
    command: Sequence[str],
    environment: Mapping[str, str],
    cwd: Path,
    *,
    beside: Sequence[str] | None = None,
    group: Path | None = None,
) -> Start:
    """Start it, wait until it is up, and end it. `beside` is a program that runs meanwhile, `group` a cgroup."""
    began = time.time()
    steps = StartupSteps(began, is_eager=is_eager(command))
    processes = [_spawn(command, environment, cwd, group)]
    if beside is not None:
        processes.append(_spawn(beside, os.environ, cwd, group))
    try:
        _wait_until_up(processes[0], steps, began + READY_TIMEOUT_S)
        now = time.time()
        steps.finish(now)
        seconds = {step.name: step.seconds or 0.0 for step in steps.steps(now)}
        return Start(seconds, now - began, _said_last(processes[1]) if beside is not None else "")
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def print_steps(
    done: Mapping[str, Sequence[Start]], titles: Mapping[str, str], plain: str, *, only_json: bool = False
) -> dict[str, float]:
    """Print the medians side by side; return them, and what each way gains against `plain`, start by start."""
    say = (lambda _: None) if only_json else click.echo
    names = list(dict.fromkeys(step for starts in done.values() for start in starts for step in start.steps))
    say(f"{'median of each step, s':24}" + "".join(f"{titles[name]:>26}" for name in done))
    result: dict[str, float] = {}
    for step in [*names, READY]:
        row = {name: statistics.median(_seconds(start, step) for start in starts) for name, starts in done.items()}
        say(f"{step:24}" + "".join(f"{row[name]:26.2f}" for name in done))
        result |= {f"{name}_{step}_s": round(value, 2) for name, value in row.items()}
    for name in done:
        if name != plain:
            pairs = zip(done[plain], done[name], strict=True)
            result[f"{name}_gain_s"] = round(statistics.median(a.ready_s - b.ready_s for a, b in pairs), 2)
    return result


def _seconds(start: Start, step: str) -> float:
    return start.ready_s if step == READY else start.steps.get(step, 0.0)


def _spawn(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path, group: Path | None
) -> subprocess.Popen[str]:
    # The shell moves itself into the group and becomes the program, so that nothing is read outside of it.
    inside = ["/bin/sh", "-c", f'echo $$ >"{group}/cgroup.procs" && exec "$@"', "sh", *command] if group else command
    return subprocess.Popen(  # noqa: S603 - a list, made by us
        inside,
        env=dict(environment),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_until_up(process: subprocess.Popen[str], steps: StartupSteps, deadline: float) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    lines = []
    for line in process.stdout:
        lines.append(line)
        steps.feed(line, time.time())
        if steps.startup_complete:
            return
        if time.time() > deadline:
            break
    raise click.ClickException("vLLM did not start.\n" + "".join(lines[-30:]))


def _said_last(process: subprocess.Popen[str]) -> str:
    """It has long ended, or else is ended now."""
    process.terminate()
    output, _ = process.communicate()
    return (output.strip().splitlines() or ["it was not done"])[-1]

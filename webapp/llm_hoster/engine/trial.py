"""One start of an engine to see whether it works, for `llm-hoster verify` and `warm`: its steps, and one question."""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from pathlib import Path
from typing import TextIO

import click

from llm_hoster.engine.job.ending import GRACE_S, end_processes
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.process.guard import Guard, adopt_orphans
from llm_hoster.engine.record.state import Step
from llm_hoster.engine.run.engine_run import EngineRun
from llm_hoster.engine.run.plan import Plan
from llm_hoster.engine.vllm.question import ask
from llm_hoster.errors import LLMHosterError

POLL_S = 0.2


def document_stream(as_json: bool) -> TextIO:
    """Give the place for the one JSON object; what this command says otherwise goes to stderr from now on."""
    stdout = sys.stdout
    if as_json:
        click.get_current_context().with_resource(contextlib.redirect_stdout(sys.stderr))
    return stdout


def try_plan(plan: Plan, folders: Folders, log: Path, timeout_s: float) -> tuple[tuple[Step, ...], str | None]:
    """Start, ask and end, printing each step as it ends; return the steps, and a sentence when something went wrong."""
    wake: queue.SimpleQueue[None] = queue.SimpleQueue()
    adopt_orphans()
    guard = Guard(folders.runtime_dir)
    run = EngineRun(plan, folders, log, lambda: wake.put(None))
    try:
        run.start()
        failure = _wait(run, wake, guard, timeout_s)
        if failure is None:
            began = time.monotonic()
            answer = ask(folders.socket_path, plan.model.name)
            click.echo(f"{'First answer':40} {time.monotonic() - began:8.2f} s  {answer!r}")
    except (OSError, LLMHosterError) as error:
        failure = str(error)
    finally:
        end_processes(run.children, {guard.pid}, grace_s=GRACE_S, meanwhile=lambda: None)
        guard.release()
    return run.steps(), failure


def _wait(run: EngineRun, wake: queue.SimpleQueue[None], guard: Guard, timeout_s: float) -> str | None:
    """Return a sentence when vLLM dies or is too slow."""
    deadline = time.monotonic() + timeout_s
    shown = 0
    while True:
        run.look()
        guard.watch([child.pid for child in run.children if child.is_running])
        is_healthy = run.failure is None and run.is_healthy()
        if is_healthy:
            run.finish_steps()
        shown = _show(run.steps(), shown)
        if is_healthy:
            return None
        if run.failure is not None:
            return f"{run.failure.cause}\n{run.failure.deciding_line or ''}".rstrip()
        if time.monotonic() > deadline:
            return f"It did not answer in {timeout_s:.0f} s."
        try:
            wake.get(timeout=POLL_S)
        except queue.Empty:
            continue


def _show(steps: tuple[Step, ...], shown: int) -> int:
    """Print the steps that have ended since the last call; return how many are shown by now."""
    ended = [step for step in steps if step.status in ("done", "failed")]
    for step in ended[shown:]:
        click.echo(f"{step.title:40} {step.seconds:8.2f} s{'  failed' if step.status == 'failed' else ''}")
    return len(ended)

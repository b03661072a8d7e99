"""The engine's state as the supervisor wrote it, and what a person or a program is told while it cannot answer."""

from __future__ import annotations

import time

from llm_hoster.engine.state import State, read_state
from llm_hoster.errors import HTTPError
from llm_hoster.settings import WebSettings

RETRY_AFTER_S = 5


def engine_state(settings: WebSettings) -> State:
    """Read what the supervisor wrote last; before its first word the engine is starting."""
    try:
        return read_state(settings.state_path)
    except OSError:
        log = str(settings.staged_root / "vllm.log")
        return State(state="starting", since=time.time(), started_at=settings.started_at, log=log)


def not_ready(state: State) -> HTTPError:
    """Say which step of the start-up is running, or why the engine is gone."""
    if state.state == "starting":
        message = f"The model is still loading{_running_step(state)}. Try again in a few seconds."
        return HTTPError(503, message, code="engine_starting", retry_after_s=RETRY_AFTER_S)
    if state.state == "failed":
        return HTTPError(503, f"The engine has failed. {state.cause or ''}".strip(), code="engine_failed")
    if state.state in {"stopping", "stopped"}:
        return HTTPError(503, "The session is ending, and the engine with it.", code="engine_stopped")
    return HTTPError(502, "The engine does not answer. Try again in a few seconds.", code="engine_unreachable")


def _running_step(state: State) -> str:
    running = [step.title for step in state.steps if step.status == "running"]
    return f" ({running[0]})" if running else ""

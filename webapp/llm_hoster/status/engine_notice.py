"""The engine's state as the supervisor wrote it, and what a person or a program is told while it cannot answer."""

from __future__ import annotations

import math
import time

from llm_hoster.engine.record.state import ServedModel, State, read_state
from llm_hoster.engine.run.estimate import is_longer_than_usual
from llm_hoster.errors import HTTPError
from llm_hoster.settings import WebSettings

# Where no earlier start tells how long this one takes; where one does, this much later is chance.
RETRY_AFTER_S = 5
RETRY_AFTER_MAX_S = 60

BEGINNINGS = {
    "starting": "The model is still loading",
    "restarting": "The engine is being started again",
    "switching": "The session is changing its model",
}


def engine_state(settings: WebSettings) -> State:
    """Read what the supervisor wrote last; before its first word the engine is starting."""
    try:
        return read_state(settings.state_path)
    except OSError:
        return State(
            state="starting",
            since=time.time(),
            started_at=settings.started_at,
            log=str(settings.staged_root / "vllm.log"),
            model=ServedModel(settings.served_model_name, settings.model_title),
        )


def not_ready(state: State) -> HTTPError:
    """Say what keeps the engine from answering, and when to ask again where that is of any use."""
    if state.state in BEGINNINGS:
        sentences = [_beginning(state), state.cause or "", remaining_in_words(state), "Try again in a moment."]
        message = " ".join(filter(None, sentences))
        return HTTPError(503, message, code=f"engine_{state.state}", retry_after_s=retry_after(state.remaining_s))
    if state.state == "failed":
        return HTTPError(503, f"The engine has failed. {state.cause or ''}".strip(), code="engine_failed")
    if state.state in {"stopping", "stopped"}:
        return HTTPError(503, "The session is ending, and the engine with it.", code="engine_stopped")
    message = "The engine does not answer. Try again in a few seconds."
    return HTTPError(502, message, code="engine_unreachable", retry_after_s=RETRY_AFTER_S)


def does_not_write(model: ServedModel) -> HTTPError:
    """Say what a model for embeddings is asked instead."""
    message = (
        f"{model.title} does not write: it turns texts into numbers. Ask it for embeddings (/v1/embeddings), or change "
        "the model of this session."
    )
    return HTTPError(400, message, code="model_embeds")


def retry_after(remaining_s: float | None) -> int:
    """
    Give whole seconds: programs that ask only so often should not come just before it is there.

    Never more than a minute: an estimate may be wrong, and the clients of OpenAI wait no longer than one or two.
    """
    return min(RETRY_AFTER_MAX_S, math.ceil(remaining_s or 0.0) + RETRY_AFTER_S)


def remaining_in_words(state: State) -> str:
    """Say how long the start still takes, as earlier ones let expect; nothing where there were none."""
    if any(map(is_longer_than_usual, state.steps)):
        return "This step takes longer than in earlier starts."
    seconds = state.remaining_s
    if seconds is None:
        return ""
    if seconds < 45:
        return "Less than a minute is left (from earlier starts)."
    if seconds < 90:
        return "About a minute is left (from earlier starts)."
    return f"About {round(seconds / 60)} minutes are left (from earlier starts)."


def _beginning(state: State) -> str:
    running = [step.title for step in state.steps if step.status == "running"]
    return f"{BEGINNINGS[state.state]} ({running[0]})." if running else f"{BEGINNINGS[state.state]}."

"""The engine on its way up, as the page shows it: nothing that could be wrong is shown as if it were known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from llm_hoster.engine.record.state import COMING, SERVING, State, Step
from llm_hoster.status.engine_notice import remaining_in_words

TITLES = {
    "starting": "The model is loading",
    "restarting": "The engine is being started again",
    "switching": "The session is changing its model",
}
CRASHED = "The engine ended unexpectedly."
# A bar that moves in small parts would make the page ask for itself again and again.
PROGRESS_PARTS = 20


@dataclass(frozen=True)
class StartUp:
    """`progress` is a share in parts of PROGRESS_PARTS; None where earlier starts do not tell what each step takes."""

    title: str
    cause: str
    remaining: str
    progress: int | None
    # The engine that ran until now still writes its last answers.
    is_draining: bool
    steps: tuple[Step, ...]


def start_up(state: State) -> StartUp | None:
    """Give None when the engine is not on its way up."""
    if state.state not in COMING:
        return None
    return StartUp(
        title=TITLES[state.state],
        cause=state.cause or (CRASHED if state.state == "restarting" else ""),
        remaining=remaining_in_words(state),
        progress=progress(state.steps),
        is_draining=state.state != "starting"
        and bool(state.steps)
        and all(each.status == "done" for each in state.steps),
        steps=state.steps,
    )


def progress(steps: tuple[Step, ...]) -> int | None:
    """
    Count a step's expected seconds as they pass, and no further until it is done.

    So a slow step makes the bar wait, and never go back or arrive too early.
    """
    if not steps or any(step.expected_s is None for step in steps):
        return None
    expected = [step.expected_s or 0.0 for step in steps]
    passed = [
        whole if step.status == "done" else min(step.seconds or 0.0, whole)
        for step, whole in zip(steps, expected, strict=True)
    ]
    return int(PROGRESS_PARTS * sum(passed) / sum(expected)) if sum(expected) > 0 else None


def entry_mark(state: State) -> str:
    """Give the same text as long as the page's foot would look the same, but for seconds that its script counts."""
    if state.state in SERVING:
        return "embedding" if state.model.embeds else "serving"
    shown = start_up(state)
    if shown is None:
        return mark_of(state.state, state.since, state.cause, state.remedy)
    steps = [(step.title, step.status, step.detail, step.expected_s) for step in shown.steps]
    return mark_of(state.state, state.cause, shown.remaining, shown.progress, shown.is_draining, steps)


def mark_of(*values: object) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=6).hexdigest()

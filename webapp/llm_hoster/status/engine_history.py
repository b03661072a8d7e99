"""What the engine has been through, in words."""

from __future__ import annotations

from dataclasses import dataclass

from llm_hoster.engine.record.state import State, StateName

WORDS: dict[StateName, str] = {
    "starting": "starting",
    "ready": "ready",
    "degraded": "slow to answer",
    "restarting": "starting again",
    "switching": "changing the model",
    "stopping": "ending",
    "stopped": "ended",
    "failed": "failed",
}
EVENTS: dict[StateName, str] = {
    "starting": "The engine was started.",
    "ready": "The model was ready.",
    "degraded": "The engine was slow to answer.",
    "restarting": "The engine was started again.",
    "switching": "The model was being changed.",
    "stopping": "The session began to end.",
    "stopped": "The session ended.",
    "failed": "The engine failed.",
}
SHOWN = 12


@dataclass(frozen=True)
class Happening:
    """`at` is in Unix seconds."""

    at: float
    text: str
    cause: str


def in_words(state: State) -> str:
    """Say how the engine is; nothing while it is ready and always was."""
    word = "" if state.state == "ready" else WORDS[state.state]
    restarts = "" if not state.restarts else f"started again {times(state.restarts)}"
    return ", ".join(filter(None, [word, restarts]))


def times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def happenings(state: State) -> list[Happening]:
    """Give the last ones, newest first."""
    return [
        # A note, where the state stayed what it was.
        Happening(each.at, "" if each.before == each.after else EVENTS[each.after], each.cause or "")
        for each in reversed(state.transitions[-SHOWN:])
    ]

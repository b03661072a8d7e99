"""What a session's endpoint says of its model: ready, or the step that it is at."""

from __future__ import annotations

from dataclasses import dataclass

import openai

# The codes of errors by which the gateway says that its model will come: waiting helps.
COMING = {
    "engine_starting": "starting",
    "engine_restarting": "restarting",
    "engine_switching": "switching",
    "engine_unreachable": "restarting",
    "successor_unreachable": "restarting",
    "too_many_wait": "starting",
}
GONE = {"engine_failed": "failed", "engine_stopped": "stopping"}


@dataclass(frozen=True)
class Health:
    """
    state: ready, starting, restarting, switching, failed or stopping
    message: the session's own words, with the step and what is left of it; empty when it is ready
    """

    state: str
    message: str = ""

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    @property
    def is_coming(self) -> bool:
        return self.state in COMING.values()


READY = Health("ready")


def health_of(error: openai.APIStatusError) -> Health:
    """Raise the error again where it says nothing of the model: a wrong key, for example."""
    state = (COMING | GONE).get(error.code or "")
    if state is None:
        raise error
    return Health(state, _message(error))


def _message(error: openai.APIStatusError) -> str:
    message = error.body.get("message") if isinstance(error.body, dict) else None
    return message if isinstance(message, str) else ""

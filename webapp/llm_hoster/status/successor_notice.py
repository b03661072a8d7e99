"""What every page says once the next session in a row has taken over."""

from __future__ import annotations

from dataclasses import dataclass

from llm_hoster.engine.record.state import State

TEXT = "The next session has taken over, with the same model. Go on there: this one ends when its time is up."


@dataclass(frozen=True)
class SuccessorNotice:
    text: str = TEXT


def successor_notice(state: State) -> SuccessorNotice | None:
    return None if state.successor is None else SuccessorNotice()

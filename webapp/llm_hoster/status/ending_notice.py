"""What every page says when the end of the session is near: of its time, or because nobody asks anything."""

from __future__ import annotations

from dataclasses import dataclass

from llm_hoster.engine.record.state import SERVING, State
from llm_hoster.settings import WebSettings
from llm_hoster.status.successor_notice import SuccessorNotice

# By the minutes that are left at most.
WARNINGS = {
    1: "This session ends in less than a minute, when the time of its job is up.",
    5: "This session ends in less than 5 minutes, when the time of its job is up.",
    15: "This session ends in less than 15 minutes, when the time of its job is up.",
}


@dataclass(frozen=True)
class TimeWarning:
    """Its words change at a new level only, so that they are read out once for each."""

    minutes: int

    @property
    def text(self) -> str:
        return WARNINGS[self.minutes]


@dataclass(frozen=True)
class IdleQuestion:
    """`idle_minutes` is for how long nobody has asked anything; None where that is less than one, or not known."""

    idle_minutes: int | None
    left_minutes: int

    @property
    def text(self) -> str:
        idle = "a while" if self.idle_minutes is None else _minutes(self.idle_minutes)
        left = "less than a minute" if self.left_minutes < 1 else f"about {_minutes(self.left_minutes)}"
        return f"Nobody has asked anything for {idle}. The session stops in {left} to spare your allocation."


@dataclass(frozen=True)
class EndingNotices:
    time_warning: TimeWarning | None
    idle_question: IdleQuestion | None
    successor: SuccessorNotice | None = None

    @property
    def tab(self) -> str:
        """What stands before the title of the page, where a tab in the background shows it."""
        if self.successor is not None:
            return "Next session · "
        if self.idle_question is not None:
            return "Still there? · "
        if self.time_warning is not None:
            return f"Under {self.time_warning.minutes} min left · "
        return ""


def ends_at(settings: WebSettings, state: State) -> float:
    """Give the end of the job in Unix seconds: what Slurm says now, else what it said at the start."""
    return settings.ends_at if state.job_ends_at is None else state.job_ends_at


def ending_notices(settings: WebSettings, state: State, now: float, idle_s: float | None) -> EndingNotices:
    """`idle_s` is after how long without a question the session ends."""
    if state.state in {"stopping", "stopped"}:
        return EndingNotices(None, None)
    left_s = ends_at(settings, state) - now
    level = next((minutes for minutes in WARNINGS if left_s < minutes * 60), None)
    return EndingNotices(
        time_warning=None if level is None else TimeWarning(level),
        idle_question=_idle_question(state, now, idle_s) if state.state in SERVING else None,
    )


def _idle_question(state: State, now: float, idle_s: float | None) -> IdleQuestion | None:
    if state.idle_ends_at is None:
        return None
    left_s = max(0.0, state.idle_ends_at - now)
    left_minutes = round(left_s / 60) if left_s >= 60 else 0
    if idle_s is None:
        return IdleQuestion(None, left_minutes)
    # Counted from the whole minutes that are left, so that the sentence changes once a minute only.
    idle_minutes = round(idle_s / 60) - max(1, left_minutes)
    return IdleQuestion(idle_minutes if idle_minutes > 0 else None, left_minutes)


def _minutes(count: int) -> str:
    return "1 minute" if count == 1 else f"{count} minutes"

"""What the head of each page says of the session."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from llm_hoster.current import current_engine_state, current_settings
from llm_hoster.engine.balance import read_balance
from llm_hoster.engine.state import State
from llm_hoster.settings import WebSettings


@dataclass(frozen=True)
class SessionFacts:
    """Times in words, SU rounded as on the card."""

    model_title: str
    gpu_title: str
    time_left: str
    is_ending: bool
    su_so_far: str
    # What the account has left; None where the site has no command for it, or it failed.
    su_left: str | None
    state: State


def session_facts(settings: WebSettings, state: State, now: float) -> SessionFacts:
    """SU run from the job's start to its end, whatever the engine does meanwhile."""
    left_s = max(0.0, settings.ends_at - now)
    used_s = max(0.0, min(now, settings.ends_at) - settings.started_at)
    su_left = read_balance(settings.runtime_dir)
    return SessionFacts(
        model_title=settings.model_title,
        gpu_title=settings.gpu_title,
        time_left=duration_in_words(left_s),
        is_ending=left_s < 600,
        su_so_far=f"{settings.su_per_hour * used_s / 3600:,.1f}",
        su_left=None if su_left is None else f"{su_left:,.1f}",
        state=state,
    )


def duration_in_words(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return "less than 1 min" if seconds > 0 else "0 min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def template_values() -> dict[str, Any]:
    """Give templates a function and not its value: the login page must not learn what runs here."""
    return {"session_facts": lambda: session_facts(current_settings(), current_engine_state(), time.time())}

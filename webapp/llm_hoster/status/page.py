"""What the head of each page says of the session."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from flask import g, request

from llm_hoster.current import current_engine_state, current_settings
from llm_hoster.engine.job.balance import read_balance
from llm_hoster.engine.record.state import State
from llm_hoster.language import number
from llm_hoster.settings import WebSettings
from llm_hoster.status.clock import clock, hour
from llm_hoster.status.ending_notice import EndingNotices, ending_notices, ends_at
from llm_hoster.status.engine_history import in_words
from llm_hoster.status.location import CLUSTER
from llm_hoster.status.models_here import staged_session
from llm_hoster.status.relaunch import relaunch_path
from llm_hoster.status.snippet import snippets
from llm_hoster.status.start_up import PROGRESS_PARTS, entry_mark, mark_of, start_up
from llm_hoster.status.successor_notice import successor_notice


@dataclass(frozen=True)
class SessionFacts:
    """Times in words, SU rounded as on the card."""

    model_title: str
    gpu_title: str
    # Empty where the GPUs serve one model together.
    replicas: str
    time_left: str
    # In Unix seconds, as Slurm says now.
    ends_at: float
    is_ending: bool
    su_so_far: str
    # What the whole job will have cost, if it runs to its end.
    su_at_end: str
    # What the account has left; None where the site has no command for it, or it failed.
    su_left: str | None
    # Empty while all is well.
    engine: str

    @property
    def mark(self) -> str:
        """The same as long as the head need not be shown anew. SU grow all the time: they follow the minutes."""
        return mark_of(replace(self, su_so_far=""))


def session_facts(settings: WebSettings, state: State, now: float) -> SessionFacts:
    """SU run from the job's start to its end, whatever the engine does meanwhile."""
    end = ends_at(settings, state)
    left_s = max(0.0, end - now)
    su_left = read_balance(settings.runtime_dir)
    return SessionFacts(
        model_title=state.model.title,
        gpu_title=settings.gpu_title,
        replicas=state.model.replicas,
        time_left=duration_in_words(left_s),
        ends_at=end,
        is_ending=left_s < 900,
        su_so_far=_su(settings, min(now, end)),
        su_at_end=_su(settings, end),
        su_left=None if su_left is None else number(su_left, 1),
        engine=in_words(state),
    )


def _su(settings: WebSettings, until: float) -> str:
    return number(settings.su_per_hour * max(0.0, until - settings.started_at) / 3600, 1)


def current_notices(state: State) -> EndingNotices:
    settings = current_settings()
    successor = successor_notice(state)
    if successor is not None:
        return EndingNotices(None, None, successor)
    session = staged_session(settings.staged_root)
    return ending_notices(settings, state, time.time(), None if session is None else session.idle_s)


def su_to_save(settings: WebSettings, state: State, now: float) -> str | None:
    """Say how many SU an end now leaves in the account; None where it is too little to speak of."""
    su = settings.su_per_hour * max(0.0, ends_at(settings, state) - now) / 3600
    return number(su, 1) if su >= 0.05 else None


def duration_in_words(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return "less than 1 min" if seconds > 0 else "0 min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def template_values() -> dict[str, Any]:
    """Give templates functions and not their values: the login page must not learn what runs here."""
    return {
        "engine_state": current_engine_state,
        "session_facts": lambda state: session_facts(current_settings(), state, time.time()),
        "ending_notices": current_notices,
        "start_up": start_up,
        "entry_mark": entry_mark,
        "progress_parts": PROGRESS_PARTS,
        "su_to_save": lambda state: su_to_save(current_settings(), state, time.time()),
        "snippets": lambda model, location=CLUSTER: snippets(
            current_settings(), model, location, for_guest=not g.visitor.is_owner
        ),
        "clock": clock,
        "hour": hour,
        # The form is of the portal: who comes past it would find nothing there.
        "relaunch_path": lambda: relaunch_path(current_settings().staged_root) if request.script_root else None,
        "mark_of": mark_of,
        "keeps_prompts": lambda: current_settings().audit_prompts,
    }

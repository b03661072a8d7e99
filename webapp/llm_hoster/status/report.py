"""All that a session says of itself to programs: the content of /status.json."""

from __future__ import annotations

from dataclasses import dataclass

from llm_hoster.engine.job.balance import read_balance
from llm_hoster.engine.record.state import State
from llm_hoster.settings import WebSettings
from llm_hoster.status.gauges import Gauges


@dataclass(frozen=True)
class Report:
    """`su_left` is what the account has left; None where the site has no command for it, or it failed."""

    session_id: str
    base_url: str
    gpu_title: str
    time_left_s: float
    su_used: float
    su_left: float | None
    engine: State
    gauges: Gauges


def make_report(settings: WebSettings, state: State, gauges: Gauges, now: float) -> Report:
    """SU run from the job's start to its end, whatever the engine does meanwhile."""
    ends_at = state.job_ends_at or settings.ends_at
    used_s = max(0.0, min(now, ends_at) - settings.started_at)
    return Report(
        session_id=settings.session_id,
        base_url=settings.base_url,
        gpu_title=settings.gpu_title,
        time_left_s=max(0.0, ends_at - now),
        su_used=settings.su_per_hour * used_s / 3600,
        su_left=read_balance(settings.runtime_dir),
        engine=state,
        gauges=gauges,
    )

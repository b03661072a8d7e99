"""What stands of the job beside the chat: how busy GPU and KV cache are, tokens per second, and who else is on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Blueprint, Flask, g, render_template

from llm_hoster.api_keys.api_key import OWNER
from llm_hoster.current import current_recorder
from llm_hoster.status.gauges import EngineGauges, Gauges
from llm_hoster.status.gpu import Gpu
from llm_hoster.status.metrics_views import gauge_reader
from llm_hoster.usage.people import RECENT_S, Use

bp = Blueprint("vitals", __name__)


@dataclass(frozen=True)
class Others:
    """The visitor's own chat is not among them. `names` are those of keys, the latest first, and for the owner only."""

    count: int
    names: tuple[str, ...] = ()
    has_own_scripts: bool = False


@dataclass(frozen=True)
class Vitals:
    """`gpu_use` is the mean of this node's GPUs, a share from 0 to 1; None where none tells it."""

    gpu_use: float | None
    gpus: tuple[Gpu, ...]
    engine: EngineGauges | None
    others: Others


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)
    app.context_processor(
        lambda: {"latest_vitals": lambda: _vitals(gauge_reader().latest()), "recent_minutes": round(RECENT_S / 60)}
    )


@bp.get("/vitals")
def show() -> str:
    """Show them as they are now."""
    return render_template("status/_vitals.html", vitals=_vitals(gauge_reader().read()), is_refresh=True)


def others_of(uses: Iterable[Use], key_id: str) -> Others:
    """Leave out who asks. Guests are told a number only: who else has a key is the owner's to say."""
    uses = list(uses)
    names = {use.key_id: use.name for use in uses if use.key_id != key_id}
    if key_id != OWNER:
        return Others(len(names))
    return Others(
        len(names), tuple(names.values()), any(use.key_id == OWNER and not use.is_chat for use in uses)
    )  # fmt: skip


def vitals_of(gauges: Gauges, others: Others) -> Vitals:
    told = [gpu.use_percent / 100 for gpu in gauges.gpus if gpu.use_percent is not None]
    return Vitals(
        gpu_use=sum(told) / len(told) if told else None,
        gpus=gauges.gpus,
        engine=gauges.engine,
        others=others,
    )


def _vitals(gauges: Gauges) -> Vitals:
    return vitals_of(gauges, others_of(current_recorder().people.recent(), g.visitor.id))

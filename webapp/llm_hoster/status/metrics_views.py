"""The gauges in the panel, and the session's figures for Prometheus and for `llm-hoster status`."""

from __future__ import annotations

import dataclasses
import time
from typing import cast

from flask import Blueprint, Flask, Response, current_app, jsonify, render_template, request

from llm_hoster.access.login import is_owner
from llm_hoster.current import current_engine_state, current_gate, current_settings
from llm_hoster.gateway.key import require_owners_key
from llm_hoster.settings import WebSettings
from llm_hoster.status.gauges import GaugeReader, Gauges
from llm_hoster.status.metrics import CONTENT_TYPE, session_metrics
from llm_hoster.status.report import Report, make_report
from llm_hoster.usage.figures import RequestFigures
from llm_hoster.usage.recorder import Recorder

bp = Blueprint("metrics", __name__)

EXTENSION = "llm_hoster_gauges"
REQUESTS = "llm_hoster_requests"


def init_app(app: Flask, settings: WebSettings, recorder: Recorder) -> None:
    app.extensions[EXTENSION] = GaugeReader(settings.socket_path)
    app.extensions[REQUESTS] = RequestFigures(recorder)
    app.register_blueprint(bp)
    app.context_processor(lambda: {"session_gauges": read_gauges})


def read_gauges() -> Gauges:
    return gauge_reader().read()


@bp.get("/gauges")
def gauges() -> str:
    """Show the gauges alone, as the panel asks for them."""
    return render_template("status/_gauges.html")


@bp.get("/metrics")
def metrics() -> Response:
    """Give vLLM's figures as they are, and ours after them."""
    _require_owner()
    text = gauge_reader().metrics_text()
    separator = "" if not text or text.endswith("\n") else "\n"
    return Response(
        f"{text}{separator}{session_metrics(_report(), current_app.extensions[REQUESTS])}", content_type=CONTENT_TYPE
    )


@bp.get("/status.json")
def status() -> Response:
    """Give all that the session says of itself."""
    _require_owner()
    return jsonify(dataclasses.asdict(_report()))


def _report() -> Report:
    return make_report(current_settings(), current_engine_state(), read_gauges(), time.time())


def _require_owner() -> None:
    """
    Take the owner's login, or the owner's key as programs send it.

    A guest's key is not for these: they tell what runs here, what it costs, and where the log lies.
    """
    if not is_owner(current_settings(), request):
        require_owners_key(current_gate(), request)


def gauge_reader() -> GaugeReader:
    return cast(GaugeReader, current_app.extensions[EXTENSION])

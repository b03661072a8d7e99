"""The engine's start-up, the head of the page, and the panels: Connect, engine, models. And a sign of life."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, g, make_response, render_template, request

from llm_hoster.current import current_engine_state, current_settings, current_store
from llm_hoster.engine.record.state import COMING, SERVING
from llm_hoster.errors import HTTPError
from llm_hoster.htmx import wants_part
from llm_hoster.status.engine_history import WORDS, happenings
from llm_hoster.status.location import CLUSTER, LOCATIONS
from llm_hoster.status.models_here import candidates, staged_session
from llm_hoster.status.page import current_notices, duration_in_words, session_facts
from llm_hoster.status.start_up import entry_mark, mark_of
from llm_hoster.status.tunnel import USER, owner_name, tunnel_of

bp = Blueprint("status", __name__)

# What a page hears on its body when it should look at the engine anew.
ENGINE_CHANGED = {"HX-Trigger": "engine-changed"}


@bp.get("/healthz")
def healthz() -> Response:
    """Say that the pages are served, and nothing else: everyone may ask."""
    return Response(status=204)


@bp.get("/status")
def show() -> Response:
    """Show the start-up, the failure or the composer; nothing when the page shows it already."""
    state = current_engine_state()
    if request.args.get("seen") == entry_mark(state):
        return Response(status=204)
    conversation_id = request.args.get("chat", "")
    response = make_response(
        render_template(
            "chat/_entry.html", state=state, conversation_id=conversation_id,
            messages=current_store().messages(conversation_id, g.visitor.id),
        )
    )  # fmt: skip
    if state.state not in COMING:
        response.headers.update(ENGINE_CHANGED)
    return response


@bp.get("/session")
def session() -> Response:
    """Show model, GPU, time left, SU and what is about to end; nothing when the page shows it already."""
    state, seen = current_engine_state(), request.args
    facts = session_facts(current_settings(), state, time.time())
    notices = current_notices(state)
    are_notices_seen = seen.get("notices") == mark_of(notices)
    is_state_seen = seen.get("state", state.state) == state.state
    if are_notices_seen and is_state_seen and seen.get("facts") == facts.mark:
        return Response(status=204)
    response = make_response(
        render_template("status/_session_refresh.html", state=state, notices=None if are_notices_seen else notices)
    )
    if not is_state_seen:
        response.headers.update(ENGINE_CHANGED)
    return response


@bp.get("/connect")
def connect() -> str:
    """Show the endpoint's address, its key and how programs call it from where they run."""
    settings, location = current_settings(), LOCATIONS.get(request.args.get("at", ""), CLUSTER)
    tunnel = tunnel_of(settings, owner_name() if g.visitor.is_owner else USER)
    return panel(
        "status/_connect.html", "Connect your programs", settings=settings, model=current_engine_state().model,
        location=location, locations=LOCATIONS.values(), tunnel=tunnel,
    )  # fmt: skip


@bp.get("/engine")
def engine() -> str:
    """Show how the engine is, what it has been through, and how to end the session."""
    state = current_engine_state()
    return panel("status/_engine.html", "Engine", state=state, word=WORDS[state.state], happenings=happenings(state))


@bp.get("/models-here")
def models_here() -> str:
    """Show the models that may take the place of the present one."""
    settings = current_settings()
    staged = staged_session(settings.staged_root)
    if staged is None:
        raise HTTPError(500, "The session's own file session.json cannot be read.", code="no_session_file")
    state = current_engine_state()
    load_s = sum(step.seconds or 0.0 for step in state.steps) if state.state in SERVING else 0.0
    return panel(
        "status/_models_here.html", "Change the model", state=state, candidates=candidates(staged),
        load_time=duration_in_words(load_s) if load_s > 0 else None,
    )  # fmt: skip


def panel(template: str, title: str, **values: Any) -> str:
    """Give the panel alone to a page that has a dialog for it, else a page with nothing but it."""
    if wants_part():
        return render_template(template, **values)
    return render_template("status/panel_page.html", panel_template=template, panel_title=title, **values)

"""The choice of the model that answers in a conversation, beside the message box."""

from __future__ import annotations

from flask import Blueprint, Response, g, render_template, request

from llm_hoster.chat.act import act
from llm_hoster.chat.model_choice import SETTING, ModelChoice, model_choice
from llm_hoster.current import current_engine_state, current_store

bp = Blueprint("models", __name__, url_prefix="/chat")


@bp.app_context_processor
def template_values() -> dict[str, object]:
    return {"offered_models": offered_models, "model_title": model_title}


@bp.get("/<conversation_id>/model")
def show(conversation_id: str) -> str:
    """Show the tool anew: what is served has changed."""
    return render_template("chat/_model_tool.html", conversation_id=conversation_id)


@bp.post("/<conversation_id>/model")
def choose(conversation_id: str) -> Response:
    """Keep the choice with a conversation; one that is not begun yet gets it with its first question."""
    keep_model(conversation_id, request.form.get("model", ""))
    return Response(status=204)


def offered_models(conversation_id: str) -> ModelChoice:
    conversation = current_store().find_conversation(conversation_id, g.visitor.id)
    return model_choice(current_engine_state(), g.visitor, conversation.settings if conversation else {})


def keep_model(conversation_id: str, name: str) -> None:
    """The base model is kept as no choice: the next session has another one. A name that is not served is not kept."""
    conversation = current_store().find_conversation(conversation_id, g.visitor.id)
    state = current_engine_state()
    if conversation is None or name not in model_choice(state, g.visitor, {}).models:
        return
    settings = {key: value for key, value in conversation.settings.items() if key != SETTING}
    if name != state.model.name:
        settings[SETTING] = name
    if settings != conversation.settings:
        act(lambda: current_store().change(conversation_id, g.visitor.id, {"settings": settings}))


def model_title(name: str) -> str:
    """Give the title of the present base model; of all others only the name is known."""
    model = current_engine_state().model
    return model.title if model.name == name else name

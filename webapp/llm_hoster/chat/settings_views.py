"""The panel of a conversation's settings, and what is done there with presets."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.chat.act import act
from llm_hoster.chat.conversation_settings import BY_EFFORT, UNSWITCHED, ConversationSettings, SettingsForm
from llm_hoster.chat.message import is_id, title_of
from llm_hoster.chat.shelf import Item
from llm_hoster.current import current_engine_state, current_store
from llm_hoster.errors import HTTPError
from llm_hoster.htmx import wants_part
from llm_hoster.status.views import panel

bp = Blueprint("settings", __name__, url_prefix="/chat/<conversation_id>/settings")
bp.add_app_template_global(lambda conversation_id: len(_settings(conversation_id).changed), "count_changed_settings")

NO_SUCH_PRESET = "There is no such chat or preset, or it was deleted."


@bp.get("")
def show(conversation_id: str) -> str:
    """Show how the model is asked here."""
    form = SettingsForm.of(_settings(conversation_id))
    deleted = _find_deleted(request.args.get("deleted", ""))
    return _panel(conversation_id, form, deleted=deleted, is_opened=deleted is None)


@bp.post("")
def save(conversation_id: str) -> BaseResponse:
    """Take what is written; where something of it means nothing, say so beside it and take nothing."""
    form = SettingsForm.read(request.form, _settings(conversation_id))
    if form.errors:
        return _refuse(conversation_id, form)
    _save(conversation_id, form.settings)
    if not wants_part():
        return redirect(url_for("chat.show", conversation_id=conversation_id), 303)
    response = make_response(render_template("chat/_settings_saved.html", conversation_id=conversation_id))
    return _with_address(response, conversation_id)


@bp.post("/reset")
def reset(conversation_id: str) -> BaseResponse:
    _save(conversation_id, ConversationSettings())
    return _answer(conversation_id, notice="reset", is_changed=True)


@bp.post("/presets")
def keep(conversation_id: str) -> BaseResponse:
    """Keep what is written, or else what holds, under a name; the same name once more replaces what it stood for."""
    form = SettingsForm.read(request.form, _settings(conversation_id))
    if form.errors:
        return _refuse(conversation_id, form)
    title = title_of(request.form.get("name", "").replace("\0", ""))
    if not title:
        raise HTTPError(400, "The preset has no name. Write one, such as “Precise”.", code="no_name")
    shelf, key_id = current_store().shelf, g.visitor.id
    known = next((each.id for each in shelf.items("preset", key_id) if each.title == title), "")
    act(lambda: shelf.put("preset", title, form.settings.to_json(), key_id, known), missing=NO_SUCH_PRESET)
    return _answer(conversation_id, form, notice="kept", name=title)


@bp.post("/presets/<preset_id>/use")
def use(conversation_id: str, preset_id: str) -> BaseResponse:
    """Make a preset's settings those of the conversation."""
    preset = _find(preset_id)
    _save(conversation_id, ConversationSettings.from_json(preset.body))
    return _answer(conversation_id, notice="used", name=preset.title, is_changed=True)


@bp.post("/presets/<preset_id>/mark")
def mark(conversation_id: str, preset_id: str) -> BaseResponse:
    """Begin new chats with a preset; the same once more ends that."""
    shelf, preset = current_store().shelf, _find(preset_id)
    marked = shelf.for_new_chats(g.visitor.id)
    is_marked = marked is not None and marked.id == preset.id
    act(lambda: shelf.mark_for_new_chats(None if is_marked else preset.id, g.visitor.id), missing=NO_SUCH_PRESET)
    return _answer(conversation_id)


@bp.post("/presets/<preset_id>/delete")
def delete(conversation_id: str, preset_id: str) -> BaseResponse:
    preset = _find(preset_id)
    act(lambda: current_store().shelf.delete("preset", preset.id, g.visitor.id), missing=NO_SUCH_PRESET)
    return _answer(conversation_id, deleted=preset)


@bp.post("/presets/<preset_id>/restore")
def restore(conversation_id: str, preset_id: str) -> BaseResponse:
    act(lambda: current_store().shelf.restore("preset", preset_id, g.visitor.id), missing=NO_SUCH_PRESET)
    return _answer(conversation_id, restored_id=preset_id)


def _settings(conversation_id: str) -> ConversationSettings:
    return ConversationSettings.from_json(current_store().settings_of(conversation_id, g.visitor.id))


def _save(conversation_id: str, settings: ConversationSettings) -> None:
    if not is_id(conversation_id):
        raise HTTPError(404, NO_SUCH_PRESET, code="not_found")
    store, key_id = current_store(), g.visitor.id
    former = store.settings_of(conversation_id, key_id)
    act(lambda: store.save_settings(conversation_id, key_id, settings.to_json(former)), missing=NO_SUCH_PRESET)


def _find(preset_id: str) -> Item:
    return act(lambda: current_store().shelf.find("preset", preset_id, g.visitor.id), missing=NO_SUCH_PRESET)


def _find_deleted(preset_id: str) -> Item | None:
    try:
        return current_store().shelf.find("preset", preset_id, g.visitor.id, is_deleted=True)
    except LookupError:
        return None


def _refuse(conversation_id: str, form: SettingsForm) -> BaseResponse:
    """To htmx it is an answer like others: what it calls an error goes elsewhere, and has no fields."""
    response = make_response(_panel(conversation_id, form), 200 if wants_part() else 422)
    response.headers.update({"HX-Retarget": "#panel-content", "HX-Reswap": "innerHTML"})
    return response


def _answer(
    conversation_id: str, form: SettingsForm | None = None, *, deleted: Item | None = None, **values: Any
) -> BaseResponse:
    """Show the panel as it is now, and beside it what the page says of the settings."""
    if not wants_part():
        deleted_id = deleted.id if deleted else None
        return redirect(url_for("settings.show", conversation_id=conversation_id, deleted=deleted_id), 303)
    form = form or SettingsForm.of(_settings(conversation_id))
    html = _panel(conversation_id, form, deleted=deleted, **values)
    return _with_address(make_response(html), conversation_id)


def _with_address(response: Response, conversation_id: str) -> Response:
    """Have the page be that of a conversation that its settings have begun: a reload must find them."""
    if current_store().find_conversation(conversation_id, g.visitor.id) is not None:
        response.headers["HX-Replace-Url"] = url_for("chat.show", conversation_id=conversation_id)
    return response


def _panel(conversation_id: str, form: SettingsForm, **values: Any) -> str:
    shelf, parser = current_store().shelf, current_engine_state().model.reasoning_parser
    marked = shelf.for_new_chats(g.visitor.id)
    shown = {
        "conversation_id": conversation_id,
        "form": form,
        "presets": shelf.items("preset", g.visitor.id),
        "marked_id": marked.id if marked else None,
        "can_switch_thinking": bool(parser) and parser not in UNSWITCHED,
        "has_effort": parser in BY_EFFORT,
    }
    return panel("chat/_settings.html", "Settings", **shown | values)

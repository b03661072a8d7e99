"""The prompt library: found by typing, filled in, put into the message box; written, changed and deleted."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_hoster.chat.act import act
from llm_hoster.chat.message import title_of
from llm_hoster.chat.prompt import TEXT_MAX, Prompt, all_prompts, given_prompts
from llm_hoster.chat.shelf import Item
from llm_hoster.current import current_store
from llm_hoster.htmx import wants_part
from llm_hoster.status.views import panel

bp = Blueprint("prompts", __name__, url_prefix="/prompts")

NO_SUCH_PROMPT = "There is no such prompt, or it was deleted."


@bp.get("/")
def show() -> str:
    """List all, one's own first."""
    return _list(deleted=_find_deleted(request.args.get("deleted", "")))


@bp.get("/menu")
def menu() -> str:
    """List all to choose from at the message box."""
    return render_template("chat/_prompt_menu.html", prompts=_prompts())


@bp.get("/<prompt_id>")
def fill(prompt_id: str) -> str:
    """Ask for a prompt's variables."""
    return panel("chat/_prompt.html", "Prompt", prompt=_find(prompt_id))


@bp.post("/new")
def new() -> str:
    """Offer to write one; the words in the message box are its beginning."""
    return _editor(Prompt("", "", request.form.get("message", "").replace("\0", "").strip()[:TEXT_MAX]))


@bp.get("/<prompt_id>/edit")
def edit(prompt_id: str) -> str:
    """Offer to change one; of those that come with the app, to write one like it."""
    prompt = _find(prompt_id)
    return _editor(prompt if prompt.is_own else Prompt("", prompt.title, prompt.text))


@bp.post("/")
def create() -> BaseResponse:
    return _put("")


@bp.post("/<prompt_id>")
def change(prompt_id: str) -> BaseResponse:
    return _put(prompt_id)


@bp.post("/<prompt_id>/delete")
def delete(prompt_id: str) -> BaseResponse:
    prompt = _kept(prompt_id)
    act(lambda: current_store().shelf.delete("prompt", prompt_id, g.visitor.id), missing=NO_SUCH_PROMPT)
    return _answer(deleted=prompt)


@bp.post("/<prompt_id>/restore")
def restore(prompt_id: str) -> BaseResponse:
    act(lambda: current_store().shelf.restore("prompt", prompt_id, g.visitor.id), missing=NO_SUCH_PROMPT)
    return _answer()


def _put(prompt_id: str) -> BaseResponse:
    """Keep it; what is wrong with it is said beside the fields, where it all still stands."""
    title = title_of(request.form.get("title", "").replace("\0", ""))
    text = request.form.get("text", "").replace("\0", "").replace("\r\n", "\n").strip()
    errors = {}
    if not title:
        errors["title"] = "Expected a title; nothing came."
    if not text:
        errors["text"] = "Expected the words of the prompt; nothing came."
    elif len(text) > TEXT_MAX:
        errors["text"] = f"Expected at most {TEXT_MAX:,} characters; {len(text):,} came."
    if errors:
        html = _editor(Prompt(prompt_id, title, text, is_own=bool(prompt_id)), errors)
        return make_response(html, 200 if wants_part() else 422)
    act(
        lambda: current_store().shelf.put("prompt", title, {"text": text}, g.visitor.id, prompt_id),
        missing=NO_SUCH_PROMPT,
    )
    return _answer(saved=title)


def _prompts() -> list[Prompt]:
    return all_prompts(current_store().shelf.items("prompt", g.visitor.id))


def _find(prompt_id: str) -> Prompt:
    given = next((each for each in given_prompts() if each.id == prompt_id), None)
    return given or Prompt.of(_kept(prompt_id))


def _kept(prompt_id: str) -> Item:
    return act(lambda: current_store().shelf.find("prompt", prompt_id, g.visitor.id), missing=NO_SUCH_PROMPT)


def _find_deleted(prompt_id: str) -> Item | None:
    try:
        return current_store().shelf.find("prompt", prompt_id, g.visitor.id, is_deleted=True)
    except LookupError:
        return None


def _answer(*, deleted: Item | None = None, saved: str = "") -> BaseResponse:
    if wants_part():
        return make_response(_list(deleted=deleted, saved=saved))
    return redirect(url_for("prompts.show", deleted=deleted.id if deleted else None), 303)


def _list(**values: Any) -> str:
    return panel("chat/_prompts.html", "Prompts", prompts=_prompts(), **values)


def _editor(prompt: Prompt, errors: dict[str, str] | None = None) -> str:
    return panel("chat/_prompt_edit.html", "Prompt", prompt=prompt, errors=errors or {})

"""The owner's page of keys: give one to a colleague or a script, see who has which, take one back."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, make_response, request

from llm_hoster.api_keys.api_key import ApiKey, Limits
from llm_hoster.api_keys.new_key import new_key
from llm_hoster.current import current_gate, current_settings
from llm_hoster.errors import ApiKeyError, HTTPError
from llm_hoster.htmx import wants_part
from llm_hoster.status.views import panel

bp = Blueprint("keys", __name__, url_prefix="/keys")

TEMPLATE = "status/_keys.html"


@bp.get("/")
def show() -> str:
    """List the keys, and offer to make one."""
    return keys_panel()


@bp.post("/")
def create() -> Response:
    """Make a key and show it, this once; what was typed stays when it is refused."""
    try:
        key, secret = _make()
    except HTTPError as error:
        if wants_part():
            raise  # The page still has the form.
        return make_response(keys_panel(error=error), error.status)
    return make_response(keys_panel(secret=secret, new_name=key.name))


@bp.post("/<key_id>/revoke")
def revoke(key_id: str) -> str:
    """Take a key back: here it opens nothing any more when this answers."""
    try:
        key = current_gate().ring.folder.revoke(key_id)
    except ApiKeyError as error:
        raise HTTPError(404, str(error), code="not_found") from error
    except OSError as error:
        raise HTTPError(
            507, f"The key could not be revoked ({error.strerror}). Try again.", code="not_saved"
        ) from error
    current_gate().ring.reload()
    return keys_panel(revoked_name=key.name)


@bp.post("/reload")
def reload() -> Response:
    """Look at the folder now: a command has changed it."""
    current_gate().ring.reload()
    return Response(status=204)


def keys_panel(**values: Any) -> str:
    now = time.time()
    try:
        keys = [key for key in current_gate().ring.folder.read() if key.is_valid(now)]
    except OSError as error:
        message = f"The folder of keys in {current_settings().data_dir} cannot be read ({error.strerror})."
        raise HTTPError(500, message, code="no_keys") from error
    return panel(TEMPLATE, "Keys", keys=keys, now=now, running=current_gate().admission.running(), **values)


def _make() -> tuple[ApiKey, str]:
    form = request.form
    try:
        key = new_key(
            form.get("name", ""),
            days=_number("days"),
            limits=Limits(
                requests_per_min=_number("requests_per_min"),
                tokens_per_min=_number("tokens_per_min"),
                concurrent=_number("concurrent"),
                total_tokens=_number("total_tokens"),
            ),
            models=form.get("models", "").split(","),
            priority=form.get("priority", "normal"),
        )
        secret = current_gate().ring.folder.create(key)
    except ApiKeyError as error:
        raise HTTPError(400, str(error), code="invalid_key") from error
    except OSError as error:
        raise HTTPError(507, f"The key could not be saved ({error.strerror}).", code="not_saved") from error
    current_gate().ring.reload()
    return key, secret


def _number(name: str) -> int | None:
    text = request.form.get(name, "").replace(",", "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ApiKeyError(f"{name.replace('_', ' ').capitalize()} is {text[:20]!r}; expected a number, or nothing.")
    return int(text)

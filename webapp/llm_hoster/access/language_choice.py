"""The reader's choice of a language, which a cookie keeps."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, current_app, redirect, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from llm_hoster.access.origin import is_secure
from llm_hoster.errors import HTTPError
from llm_hoster.language import COOKIE, LANGUAGES

bp = Blueprint("language", __name__)
ENDPOINT = "language.choose"
YEAR_S = 365 * 24 * 3600


@bp.post("/language")
def choose() -> Response:
    """Show the page that was shown, in the language that was chosen."""
    chosen = request.form.get("language", "")
    if chosen not in LANGUAGES:
        raise HTTPError(400, "This language is not offered here.", code="no_such_language")
    response = redirect(_page_before(), 303)
    response.set_cookie(
        COOKIE, chosen, max_age=YEAR_S, path=request.script_root or "/", secure=is_secure(request), httponly=True,
        samesite="Strict",
    )  # fmt: skip
    return response


def _page_before() -> str:
    """Give the page that the form was sent from; only what it is called is taken, so that nobody is led elsewhere."""
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None  # noqa: S101 - there is one in a request
    try:
        path = urlsplit(request.referrer or "").path.removeprefix(request.script_root)
        endpoint, arguments = adapter.match(path, method="GET")
    except (HTTPException, ValueError):  # None of ours, one that is only posted to, or no address at all.
        return url_for("chat.index")
    return url_for(endpoint, **arguments)

"""
The way to the session that has taken over: a page of its own, with the form that the portal's card would have.

A page that was open before cannot have it: its security policy was made when nobody knew the other session's address.
"""

from __future__ import annotations

from flask import Blueprint, render_template, request

from llm_hoster.current import current_engine_state, current_settings
from llm_hoster.engine.record.state import State
from llm_hoster.errors import HTTPError
from llm_hoster.status.orders import CONVERSATION

bp = Blueprint("next_session", __name__)
ENDPOINT = "next_session.show"


@bp.get("/next-session")
def show() -> str:
    """
    Post the secret, which both sessions have, to the login of the next one; by itself where scripts run.

    The chat from which somebody comes is opened there: the sessions of a row have each other's.
    """
    state = current_engine_state()
    if state.successor is None:
        raise HTTPError(404, "No other session has taken over from this one.", code="no_next_session")
    path = login_path(state, request.script_root)
    if path is None:
        message = "Open this session from its card in the portal: nothing else leads to the next one from here."
        raise HTTPError(409, message, code="no_portal")
    try:
        secret = (current_settings().staged_root / "secret").read_text().strip()
    except OSError as error:
        message = f"The session's secret cannot be read ({error.strerror}). Its card opens the next one when it ends."
        raise HTTPError(500, message, code="no_secret") from error
    chat = CONVERSATION.search(request.referrer or "")
    return render_template(
        "status/next_session.html", login_path=path, secret=secret, chat=None if chat is None else chat[1]
    )


def login_path(state: State, script_root: str) -> str | None:
    """Give the next session's login under the portal's path by which this page was opened, /node or /rnode."""
    proxy = script_root.strip("/").partition("/")[0]
    if state.successor is None or not proxy:
        return None
    return f"/{proxy}/{state.successor.host}/{state.successor.port}/login"

"""
The headers of every answer.

The whole portal is one origin, so `'self'` would let in every other user's /rnode page: each source of the policy is
this session's own path. A source without a scheme means the scheme of the page itself.
"""

from __future__ import annotations

from functools import lru_cache

from flask import Flask, Request, Response, request

from llm_hoster.access.login import is_owner
from llm_hoster.access.origin import require_public_host
from llm_hoster.current import current_settings
from llm_hoster.errors import HTTPError
from llm_hoster.status import next_session
from llm_hoster.status.engine_notice import engine_state


@lru_cache(maxsize=64)
def content_security_policy(host: str, prefix: str, next_login: str | None = None) -> str:
    """
    Allow this session's own files, its own addresses to fetch and to post to, and nothing else.

    `next_login` is the one address of another session: the login of the one that has taken over from this one.
    """
    session = f"{host}{prefix}/"
    files = f"{session}static/"
    directives = {
        "default-src": "'none'",
        "script-src": files,
        "style-src": files,
        # And what people of this session have attached; `attachment_views` gives it as a picture or not at all.
        "img-src": f"{files} {session}chat/attachments/",
        "font-src": files,
        "connect-src": session,
        "form-action": f"{session} {host}{next_login}" if next_login else session,
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
    }
    return "; ".join(f"{name} {source}" for name, source in directives.items())


def init_app(app: Flask) -> None:
    app.after_request(lambda response: add_headers(request, response))


def add_headers(request: Request, response: Response) -> Response:
    next_login = _next_login(request) if request.endpoint == next_session.ENDPOINT else None
    response.headers["Content-Security-Policy"] = _policy_of(request, next_login)
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Not no-referrer: with it browsers send `Origin: null` from our own forms.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _next_login(request: Request) -> str | None:
    """Strangers learn nothing of it."""
    settings = current_settings()
    state = engine_state(settings)
    return next_session.login_path(state, request.script_root) if is_owner(settings, request) else None


def _policy_of(request: Request, next_login: str | None) -> str:
    try:
        return content_security_policy(require_public_host(request), request.script_root, next_login)
    except HTTPError:
        return "default-src 'none'; frame-ancestors 'none'"

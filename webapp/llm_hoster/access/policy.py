"""
The headers of every answer.

The whole portal is one origin, so `'self'` would let in every other user's /rnode page: each source of the policy is
this session's own path. A source without a scheme means the scheme of the page itself.
"""

from __future__ import annotations

from flask import Flask, Request, Response, request

from llm_hoster.access.origin import require_public_host
from llm_hoster.errors import HTTPError


def content_security_policy(host: str, prefix: str) -> str:
    """Allow this session's own files, its own addresses to fetch and to post to, and nothing else."""
    session = f"{host}{prefix}/"
    files = f"{session}static/"
    directives = {
        "default-src": "'none'",
        "script-src": files,
        "style-src": files,
        "img-src": files,
        "connect-src": session,
        "form-action": session,
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
    }
    return "; ".join(f"{name} {source}" for name, source in directives.items())


def init_app(app: Flask) -> None:
    app.after_request(lambda response: add_headers(request, response))


def add_headers(request: Request, response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _policy_of(request)
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Not no-referrer: with it browsers send `Origin: null` from our own forms.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _policy_of(request: Request) -> str:
    try:
        return content_security_policy(require_public_host(request), request.script_root)
    except HTTPError:
        return "default-src 'none'; frame-ancestors 'none'"

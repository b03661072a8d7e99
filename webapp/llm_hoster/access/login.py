"""
Logging in: the owner with the session's secret, as the card posts it, a guest with a key; both get a signed cookie.

The cookie's name carries the port because browsers send a host's cookies to all its ports.
"""

from __future__ import annotations

import hashlib
import hmac

from flask import Request
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.wrappers import Response

from llm_hoster.access.origin import is_secure
from llm_hoster.api_keys.api_key import OWNER
from llm_hoster.settings import WebSettings


def cookie_name(settings: WebSettings) -> str:
    return f"llm_hoster_{settings.port}"


def is_secret(settings: WebSettings, password: str) -> bool:
    digest = hashlib.sha256(password.strip().encode()).hexdigest()
    return hmac.compare_digest(digest, settings.secret_sha256)


def visitor_id(settings: WebSettings, request: Request) -> str | None:
    """Give the id of the key whose login the cookie is, once its signature and session are right."""
    try:
        session_id, key_id = _serializer(settings).loads(request.cookies.get(cookie_name(settings), ""))
    except (BadSignature, TypeError, ValueError):
        return None
    return key_id if session_id == settings.session_id else None


def is_owner(settings: WebSettings, request: Request) -> bool:
    return visitor_id(settings, request) == OWNER


def log_in(settings: WebSettings, request: Request, response: Response, key_id: str = OWNER) -> None:
    """Give the cookie. The portal replaces its path by the session's own; without a portal ours stands."""
    response.set_cookie(
        cookie_name(settings),
        _serializer(settings).dumps([settings.session_id, key_id]),
        path=request.script_root or "/",
        secure=is_secure(request),
        httponly=True,
        samesite="Strict",
    )


def log_out(settings: WebSettings, request: Request, response: Response) -> None:
    response.delete_cookie(
        cookie_name(settings),
        path=request.script_root or "/",
        secure=is_secure(request),
        httponly=True,
        samesite="Strict",
    )


def _serializer(settings: WebSettings) -> URLSafeSerializer:
    return URLSafeSerializer(settings.secret_key, salt="login", signer_kwargs={"digest_method": hashlib.sha256})

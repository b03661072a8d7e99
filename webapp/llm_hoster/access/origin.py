"""The host name under which the browser sees this session, and whether a request comes from a page of that host."""

from __future__ import annotations

import re

from flask import Request

from llm_hoster.errors import HTTPError

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?(:[0-9]{1,5})?")


def require_public_host(request: Request) -> str:
    """Name the host and port of the browser's address line; the portal adds its own name last."""
    forwarded = request.headers.get("X-Forwarded-Host", "")
    host = forwarded.rsplit(",", 1)[-1].strip() if forwarded else request.headers.get("Host", "")
    if not HOST.fullmatch(host):
        raise HTTPError(400, f"The host name {host[:80]!r} of this request is not one.", code="invalid_host")
    return host.lower()


def is_secure(request: Request) -> bool:
    """Say whether the browser speaks https to the portal; between portal and node it is plain http."""
    return request.headers.get("X-Forwarded-Proto", "").rsplit(",", 1)[-1].strip().lower() == "https"


def require_same_origin(request: Request) -> None:
    """Refuse a request that a page of another site makes with this user's cookie."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site in (None, "same-origin") and origin is None:
        return  # Not a browser, or one that vouches for itself.
    if site == "same-origin" and origin == "null":
        return  # A page with the referrer policy no-referrer, as hardened portals have.
    host = (origin or "").partition("://")[2].lower()
    if site not in (None, "same-origin") or host != require_public_host(request):
        raise HTTPError(403, "This request came from a page of another site and was refused.", code="cross_site")

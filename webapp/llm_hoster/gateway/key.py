"""The key of the session's endpoint. The chat's cookie does not open it: a page of another site has no key to send."""

from __future__ import annotations

import hmac

from flask import Request

from llm_hoster.errors import HTTPError
from llm_hoster.settings import WebSettings


def is_api_path(path: str) -> bool:
    """Say whether a path asks for the key, and has its errors in OpenAI's envelope."""
    return path == "/v1" or path.startswith("/v1/")


def require_key(settings: WebSettings, request: Request) -> None:
    """Accept `Authorization: Bearer` or, where a portal strips that header, `X-Api-Key`."""
    offered = [request.headers.get("X-Api-Key", "")]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        offered.append(token.strip())
    matches = [hmac.compare_digest(key.encode("utf-8", "replace"), settings.api_key.encode()) for key in offered]
    if not any(matches):
        raise HTTPError(
            401,
            "No valid API key. Send the session's key as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.",
            code="invalid_api_key",
        )

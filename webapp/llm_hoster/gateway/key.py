"""Who calls: the key of a request. The chat's cookie opens nothing here: a page of another site has no key to send."""

from __future__ import annotations

from flask import Request, g

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.gate import Gate


def is_api_path(path: str) -> bool:
    """Say whether a path asks for the key, and has its errors in OpenAI's envelope."""
    return path == "/v1" or path.startswith("/v1/")


def require_key(gate: Gate, request: Request) -> ApiKey:
    """Accept `Authorization: Bearer` or, where a portal strips that header, `X-Api-Key`; raise HTTPError 401 or 429."""
    offered = [request.headers.get("X-Api-Key", "")]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        offered.append(token.strip())
    for secret in filter(None, offered):
        key = gate.ring.find(secret)
        if key is not None:
            g.secret = secret  # For the next session, which knows the same keys.
            return key
    if any(offered):
        gate.guesses.note(address_of(request))
    raise HTTPError(
        401,
        "No valid API key. Send the session's key as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.",
        code="invalid_api_key",
    )


def require_owners_key(gate: Gate, request: Request) -> None:
    """Raise HTTPError 403 for the key of a guest."""
    if not require_key(gate, request).is_owner:
        raise HTTPError(403, "This needs the owner's key; yours is a guest's.", code="owner_only")


def require_allowed_model(caller: ApiKey, model: str) -> None:
    """Raise HTTPError 403 for a model that is not among the key's."""
    if caller.models and model not in caller.models:
        message = f"The key {caller.name!r} may not use {model[:80]!r}, only {', '.join(caller.models)}."
        raise HTTPError(403, message, code="model_not_allowed")


def address_of(request: Request) -> str:
    """The machine that has connected to us: what it says of others, as a portal does, anybody can say."""
    return request.remote_addr or "an unknown address"

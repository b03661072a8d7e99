"""A key as somebody wants it, from the words of a command or the fields of a page."""

from __future__ import annotations

import time
from collections.abc import Sequence

from llm_hoster.api_keys.api_key import NAME_MAX, PRIORITIES, ApiKey, Limits, Priority
from llm_hoster.api_keys.key_folder import new_id
from llm_hoster.errors import ApiKeyError

DAYS_MAX = 3650
LIMIT_MAX = 10**15


def new_key(
    name: str, *, days: int | None, limits: Limits, models: Sequence[str] = (), priority: str = "normal"
) -> ApiKey:
    """Give the key without its secret; raise ApiKeyError for what cannot be."""
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise ApiKeyError(
            f"The name is {name[:NAME_MAX]!r}; expected 1 to {NAME_MAX} characters that tell whose key it is."
        )
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise ApiKeyError(f"The key is to last {days} days; expected 1 to {DAYS_MAX}, or nothing for no end.")
    for limit in (limits.requests_per_min, limits.tokens_per_min, limits.concurrent, limits.total_tokens):
        if limit is not None and not 1 <= limit <= LIMIT_MAX:
            raise ApiKeyError(f"A limit is {limit}; expected a number from 1, or nothing for no limit.")
    now = time.time()
    return ApiKey(
        id=new_id(),
        name=name,
        digest="",
        created_at=now,
        expires_at=None if days is None else now + days * 86400,
        limits=limits,
        models=tuple(dict.fromkeys(model.strip() for model in models if model.strip())),
        priority=require_priority(priority),
    )


def require_priority(text: str) -> Priority:
    for priority in PRIORITIES:
        if priority == text:
            return priority
    raise ApiKeyError(f"The priority is {text[:20]!r}; expected one of {', '.join(PRIORITIES)}.")

"""A key of the endpoint, without its secret: only the digest of that is kept anywhere."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

OWNER = "owner"
PREFIX = "sk-llmh-"
NAME_MAX = 60

# What a person chooses; in vLLM the smaller number is served first, and steps leave room for one key's own order.
Priority = Literal["high", "normal", "low"]
PRIORITY_STEP = 1_000
PRIORITIES: dict[Priority, int] = {"high": -PRIORITY_STEP, "normal": 0, "low": PRIORITY_STEP}


@dataclass(frozen=True)
class Limits:
    """None = no limit of this key's own. `total_tokens` is over all sessions, prompts included."""

    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    concurrent: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True)
class ApiKey:
    """
    `digest` is the secret's SHA-256 in hex: 256 random bits need no slow hash. Times are Unix seconds.

    `models` are names of models as requests name them; empty = all.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    limits: Limits = Limits()
    models: tuple[str, ...] = ()
    priority: Priority = "normal"

    @property
    def is_owner(self) -> bool:
        return self.id == OWNER

    def is_valid(self, now: float) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def in_words(self, now: float) -> list[str]:
        """Say until when it opens what, and how much."""
        words = [self._end_in_words(now)]
        limits = self.limits
        for number, text in (
            (limits.requests_per_min, "{number} requests a minute"),
            (limits.tokens_per_min, "{number} tokens a minute"),
            (limits.concurrent, "{number} at the same time"),
            (limits.total_tokens, "{number} tokens in all"),
        ):
            if number is not None:
                words.append(text.format(number=f"{number:,}"))
        if self.models:
            words.append(f"only {' and '.join(self.models)}")
        if self.priority != "normal":
            words.append(f"{self.priority} priority")
        return words

    def _end_in_words(self, now: float) -> str:
        if self.revoked_at is not None:
            return f"revoked on {_day(self.revoked_at)}"
        if self.expires_at is None:
            return "no end"
        return f"until {_day(self.expires_at)}" if now < self.expires_at else f"ended on {_day(self.expires_at)}"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d")


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def new_secret() -> str:
    return f"{PREFIX}{secrets.token_urlsafe(32)}"


def owner_key(secret: str) -> ApiKey:
    """Give the session's own key, which is in no folder of keys."""
    return ApiKey(OWNER, OWNER, digest_of(secret), created_at=0.0)

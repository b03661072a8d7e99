"""
Whose request is let in, and how urgent it is: the limits of keys, and a fair share for each.

Nobody waits here: what is over a limit is answered at once with 429, because a request that waits holds a thread. In
vLLM a key's second request stands behind everybody's first one, its third behind everybody's second, and so on: so a
key with hundreds in flight does not make the others wait.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from llm_hoster.api_keys.api_key import PRIORITIES, PRIORITY_STEP, ApiKey
from llm_hoster.capacity import REQUESTS_MAX, REQUESTS_PER_ADDRESS_MAX, REQUESTS_PER_KEY_MAX
from llm_hoster.errors import HTTPError

MINUTE_S = 60.0
RETRY_AFTER_S = 1


@dataclass
class KeyUse:
    """What one key has done: the times of its requests, and the tokens with the times at which they were counted."""

    running: int = 0
    requests: deque[float] = field(default_factory=deque)
    tokens: deque[tuple[float, int]] = field(default_factory=deque)
    # The sum of these: a fast key has ten thousands of them, and each of its requests is held against the sum.
    tokens_of_minute: int = 0
    # In this app; what was before, Earlier knows.
    total_tokens: int = 0

    def charge(self, tokens: int, now: float) -> None:
        self.tokens.append((now, tokens))
        self.tokens_of_minute += tokens
        self.total_tokens += tokens

    def forget_before(self, then: float) -> None:
        while self.requests and self.requests[0] <= then:
            self.requests.popleft()
        while self.tokens and self.tokens[0][0] <= then:
            self.tokens_of_minute -= self.tokens.popleft()[1]


class Place:
    """A request that was let in; `priority` is vLLM's, the smaller the earlier. Given back once, by whichever end."""

    def __init__(self, admission: Admission, key_id: str, address: str, priority: int) -> None:
        self.priority = priority
        self._admission: Admission | None = admission
        self._key_id = key_id
        self._address = address

    def release(self) -> None:
        admission, self._admission = self._admission, None
        if admission is not None:
            admission._give_back(self._key_id, self._address)


class Earlier(Protocol):
    """What a key has used before this app ran, in tokens. The first question may take a while."""

    def tokens_of(self, key_id: str) -> int: ...


class Admission:
    """All methods may be called from any thread."""

    def __init__(self, earlier: Earlier) -> None:
        self._earlier = earlier
        self._lock = threading.Lock()
        self._uses: defaultdict[str, KeyUse] = defaultdict(KeyUse)
        self._addresses: Counter[str] = Counter()

    def admit(self, key: ApiKey, address: str) -> Place:
        """Raise HTTPError 429 for what is over a limit."""
        earlier = self._earlier_tokens(key)
        now = time.monotonic()
        with self._lock:
            use = self._uses[key.id]
            use.forget_before(now - MINUTE_S)
            self._require_room(key, use, address)
            _require_within_limits(key, use, earlier, now)
            priority = PRIORITIES[key.priority] + min(use.running, PRIORITY_STEP - 1)
            use.running += 1
            use.requests.append(now)
            self._addresses[address] += 1
        return Place(self, key.id, address, priority)

    def count(self, key: ApiKey) -> None:
        """Let a request in that takes no place of those for whom somebody waits; raise HTTPError 429 over a limit."""
        earlier = self._earlier_tokens(key)
        now = time.monotonic()
        with self._lock:
            use = self._uses[key.id]
            use.forget_before(now - MINUTE_S)
            _require_within_limits(key, use, earlier, now)
            use.requests.append(now)

    def charge(self, key_id: str, tokens: int) -> None:
        """Count the tokens of an answer, prompt and reply together."""
        with self._lock:
            self._uses[key_id].charge(tokens, time.monotonic())

    def running(self) -> Mapping[str, int]:
        """Give the requests that run, by the id of their key."""
        with self._lock:
            return {key_id: use.running for key_id, use in self._uses.items()}

    def _earlier_tokens(self, key: ApiKey) -> int:
        return 0 if key.limits.total_tokens is None else self._earlier.tokens_of(key.id)

    def _require_room(self, key: ApiKey, use: KeyUse, address: str) -> None:
        if self._addresses.total() >= REQUESTS_MAX:
            raise _too_many(f"This session answers {REQUESTS_MAX} requests already, the most at the same time.")
        if self._addresses[address] >= REQUESTS_PER_ADDRESS_MAX:
            raise _too_many(f"{REQUESTS_PER_ADDRESS_MAX} requests from {address} run already, the most of one address.")
        allowed = min(key.limits.concurrent or REQUESTS_PER_KEY_MAX, REQUESTS_PER_KEY_MAX)
        if use.running >= allowed:
            raise _too_many(f"The key {key.name!r} has {use.running} requests running; it may have {allowed}.")

    def _give_back(self, key_id: str, address: str) -> None:
        with self._lock:
            self._uses[key_id].running -= 1
            self._addresses[address] -= 1
            if self._addresses[address] <= 0:
                del self._addresses[address]


def _require_within_limits(key: ApiKey, use: KeyUse, earlier_tokens: int, now: float) -> None:
    limits = key.limits
    if limits.requests_per_min is not None and len(use.requests) >= limits.requests_per_min:
        message = f"The key {key.name!r} may send {limits.requests_per_min} requests each minute, and has sent them."
        raise _too_many(message, use.requests[0] + MINUTE_S - now)
    tokens = use.tokens_of_minute
    if limits.tokens_per_min is not None and tokens >= limits.tokens_per_min:
        message = f"The key {key.name!r} may use {limits.tokens_per_min:,} tokens each minute, and has used {tokens:,}."
        raise _too_many(message, use.tokens[0][0] + MINUTE_S - now)
    total = earlier_tokens + use.total_tokens
    if limits.total_tokens is not None and total >= limits.total_tokens:
        message = (
            f"The key {key.name!r} was given {limits.total_tokens:,} tokens, and has used {total:,}. "
            "Ask the owner of this session for another key."
        )
        raise HTTPError(429, message, code="insufficient_quota")


def _too_many(message: str, wait_s: float = RETRY_AFTER_S) -> HTTPError:
    return HTTPError(429, message, code="rate_limit_exceeded", retry_after_s=max(1, math.ceil(wait_s)))

"""The engine's own count of what it is to read: exact, and too slow for a question that waits for its first token."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from urllib3.exceptions import HTTPError as UpstreamError

from llm_hoster.engine.record.state import SERVING, State
from llm_hoster.gateway.successor import open_call
from llm_hoster.settings import WebSettings

TIMEOUT_S = 10.0
JSON = "application/json"
KEPT = 500
PATHS = {False: "/tokenize", True: "/v1/tokenize"}


@dataclass(frozen=True)
class Count:
    """`limit` is the engine's max_model_len."""

    tokens: int
    limit: int


class TokenCounter:
    """All methods may be called from any thread."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._counts: OrderedDict[bytes, Count] = OrderedDict()
        # Of one engine: another model, or the same with other adjustments, has another.
        self._limit: tuple[object, int] | None = None

    def known_limit(self, state: State) -> int | None:
        """Say it without asking the engine; None where it was not asked yet."""
        limit = self._limit
        return limit[1] if limit is not None and limit[0] == _run_of(state) else None

    def limit(self, state: State) -> int | None:
        known = self.known_limit(state)
        if known is None:
            count = self.count(state, [{"role": "user", "content": ""}])
            known = None if count is None else count.limit
        return known

    def count(self, state: State, messages: list[dict[str, Any]]) -> Count | None:
        """Ask once for what was not asked before; None where the engine does not say."""
        body = json.dumps({"model": state.model.name, "messages": messages}).encode()
        digest = hashlib.sha256(repr(_run_of(state)).encode() + body).digest()
        with self._lock:
            if digest in self._counts:
                self._counts.move_to_end(digest)
                return self._counts[digest]
        count = self._ask(state, body) if state.state in SERVING else None
        if count is not None:
            with self._lock:
                self._limit = (_run_of(state), count.limit)
                self._counts[digest] = count
                while len(self._counts) > KEPT:
                    self._counts.popitem(last=False)
        return count

    def _ask(self, state: State, body: bytes) -> Count | None:
        call = open_call(self._settings, state, silence_timeout_s=TIMEOUT_S)
        try:
            path = PATHS[state.successor is not None]
            call.send("POST", path, body=body, headers={"Content-Type": JSON})
            answer = call.response()
            if answer is None or answer.status != 200 or not answer.headers.get("Content-Type", "").startswith(JSON):
                return None
            document = json.loads(answer.read())
            return Count(int(document["count"]), int(document["max_model_len"]))
        except (UpstreamError, OSError, ValueError, KeyError, TypeError):
            return None
        finally:
            call.close()


def _run_of(state: State) -> object:
    successor = state.successor
    return state.model.name, state.ready_at, state.restarts, None if successor is None else successor.host

"""The engine's own count of what it is to read: exact, and too slow for a question that waits for its first token."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from llm_hoster.chat.tokenization import context_limit, known_limit, run_of, tokenize
from llm_hoster.engine.record.state import State
from llm_hoster.settings import WebSettings

KEPT = 500


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

    def known_limit(self, state: State) -> int | None:
        """Say it without asking the engine; None where it was not asked yet."""
        return known_limit(self._settings, state)

    def limit(self, state: State) -> int | None:
        return context_limit(self._settings, state)

    def count(self, state: State, messages: list[dict[str, Any]], **of_template: Any) -> Count | None:
        """Ask once for what was not asked before; None where the engine does not say."""
        subject = {"messages": messages} | of_template
        digest = hashlib.sha256(json.dumps([run_of(self._settings, state), subject]).encode()).digest()
        with self._lock:
            if digest in self._counts:
                self._counts.move_to_end(digest)
                return self._counts[digest]
        found = tokenize(self._settings, state, **subject)
        if found.tokens is None or found.limit is None:
            return None
        count = Count(found.tokens, found.limit)
        with self._lock:
            self._counts[digest] = count
            while len(self._counts) > KEPT:
                self._counts.popitem(last=False)
        return count

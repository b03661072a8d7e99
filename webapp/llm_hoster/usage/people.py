"""Who has used the session in the last minutes, in the chat or from a program."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from llm_hoster.usage.record import CHAT_ROUTE, RequestRecord

RECENT_S = 300.0


@dataclass(frozen=True)
class Use:
    """One key in the chat, or in programs."""

    key_id: str
    name: str
    is_chat: bool


class People:
    """All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Counter[Use] = Counter()
        self._seen_at: dict[Use, float] = {}

    def begin(self, record: RequestRecord) -> None:
        use = _use_of(record)
        with self._lock:
            self._running[use] += 1
            self._seen_at[use] = time.monotonic()

    def end(self, record: RequestRecord) -> None:
        use = _use_of(record)
        with self._lock:
            self._running[use] -= 1
            self._seen_at[use] = time.monotonic()

    def recent(self) -> list[Use]:
        """Give those who ask now, or have in the last minutes, the latest first."""
        then = time.monotonic() - RECENT_S
        with self._lock:
            self._running = +self._running
            self._seen_at = {use: at for use, at in self._seen_at.items() if at > then or self._running[use]}
            return sorted(self._seen_at, key=self._seen_at.__getitem__, reverse=True)


def _use_of(record: RequestRecord) -> Use:
    return Use(record.key_id, record.key_name, record.route == CHAT_ROUTE)

"""
Rendered messages, kept for the next look at them: a message never changes, and a millisecond for each of a thousand is
a second.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from hashlib import blake2b

from llm_hoster.chat.markdown import render_markdown

LIMIT_BYTES = 8 * 1024 * 1024


class HTMLCache:
    """All methods may be called from any thread. What was not looked at for the longest time goes first."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, str] = OrderedDict()
        self._bytes = 0

    def render(self, text: str) -> str:
        key = blake2b(text.encode(), digest_size=16).digest()
        with self._lock:
            html = self._kept.get(key)
            if html is not None:
                self._kept.move_to_end(key)
                return html
        html = render_markdown(text)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = html
                self._bytes += sys.getsizeof(html)
            while self._bytes > self._limit_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= sys.getsizeof(oldest)
        return html

"""Wrong keys and secrets by address: logged, and after some in a minute refused with 429 until the minute is over."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque

from llm_hoster.errors import HTTPError

log = logging.getLogger(__name__)

WRONG_PER_MIN = 20
ADDRESSES_MAX = 1_000


class Guesses:
    """
    Only what is wrong is ever refused: many people share the address of a login node or of the portal, and nobody on it
    may lock the others out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, address: str) -> None:
        """Count a wrong one; raise HTTPError 429 where there were too many."""
        now = time.monotonic()
        with self._lock:
            times = self._wrong.setdefault(address, deque(maxlen=WRONG_PER_MIN))
            self._wrong.move_to_end(address)
            while len(self._wrong) > ADDRESSES_MAX:
                self._wrong.popitem(last=False)
            is_full = len(times) == WRONG_PER_MIN and now - times[0] < 60
            wait_s = int(60 - (now - times[0])) + 1 if is_full else 0
            if not is_full:
                times.append(now)
            is_last = len(times) == WRONG_PER_MIN and not is_full
        if is_last:
            log.warning("%s has sent %d wrong keys within a minute", address, WRONG_PER_MIN)
        if is_full:
            message = f"Too many wrong keys came from {address}. Wait {wait_s} seconds."
            raise HTTPError(429, message, code="too_many_wrong_keys", retry_after_s=wait_s)

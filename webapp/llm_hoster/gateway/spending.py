"""What keys have used before this app ran: in other sessions, and in this one before gunicorn was started again."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from llm_hoster.errors import UsageError
from llm_hoster.settings import WebSettings
from llm_hoster.usage.reading import tokens_by_key, usage_files
from llm_hoster.usage.recorder import usage_folder, usage_path

log = logging.getLogger(__name__)


class EarlierSpending:
    """
    Of other sessions it knows what is recorded when it is first asked: nobody waits for a hundred files without need.

    Sessions that run beside each other count a key's tokens each for itself, until the next one starts.
    """

    def __init__(self, settings: WebSettings) -> None:
        self._folder = usage_folder(settings)
        self._own_path = usage_path(settings)
        self._own = _tokens([self._own_path])
        self._lock = threading.Lock()
        self._all: Counter[str] | None = None

    def tokens_of(self, key_id: str) -> int:
        with self._lock:
            if self._all is None:
                self._all = self._own + _tokens(each for each in usage_files(self._folder) if each != self._own_path)
            return self._all[key_id]


def _tokens(paths: Iterable[Path]) -> Counter[str]:
    total: Counter[str] = Counter()
    for path in paths:
        try:
            total.update(tokens_by_key(path))
        except UsageError as error:
            log.warning("%s", error)
    return total

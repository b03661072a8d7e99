"""The mark that keeps `llm-hoster models prune` on any node away from a model, as long as the session lives."""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_hoster.engine.model.prelude import SilentPrelude
from llm_hoster.hub_cache import find_model
from llm_hoster.model_use import model_in_use


class InUse(SilentPrelude):
    """Of a hub id. A model that the session has left for another stays marked: it may come back to it."""

    name = "in_use"

    def __init__(self, model: str, caches: Sequence[Path], *, is_mistral: bool = False) -> None:
        """`caches` in the order in which they are looked into; what is not there yet goes into the last one."""
        self._model = model
        self._caches = caches
        self._is_mistral = is_mistral

    def start(self, notify: Callable[[], None]) -> None:
        if self.is_done:
            return  # The same plan is started again.
        self.is_done = True
        # The file system of many may be slow, and nothing waits for this.
        threading.Thread(target=self._mark, name="model in use", daemon=True).start()

    def _mark(self) -> None:
        is_mistral = self._is_mistral
        found = [each for each in self._caches if find_model(self._model, [each], is_mistral=is_mistral) is not None]
        mark = contextlib.ExitStack()
        mark.enter_context(model_in_use(self._model, (found or self._caches[-1:])[0]))
        atexit.register(mark.close)

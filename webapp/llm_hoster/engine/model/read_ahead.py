"""The weights are read into the page cache beside vLLM's start: a prelude that nobody waits for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_hoster.engine.model.prelude import SilentPrelude
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.record.job_log import say

LOG = "page_cache.log"


class ReadAhead(SilentPrelude):
    """Comes after a download, which may put the files there that it reads."""

    name = "page_cache"

    def __init__(self, reader: Callable[[], Sequence[str] | None], runtime_dir: Path) -> None:
        """`reader` is asked when it is its turn: see `reader_command` (page_cache.py)."""
        self._reader = reader
        self._runtime_dir = runtime_dir
        self._child = Child("page cache", log=runtime_dir / LOG, on_line=_say, on_end=lambda: None)
        self.children = []

    def start(self, notify: Callable[[], None]) -> None:
        self.is_done = True
        command = self._reader()
        if command is not None:
            # By the folder in it the next session here finds this process if all of ours is killed (leftovers.py).
            environment = os.environ | {"TMPDIR": str(self._runtime_dir / "t")}
            self._child.start(command, environment, cwd=self._runtime_dir)
            self.children = [self._child]


def _say(line: str) -> None:
    say("page cache", line)

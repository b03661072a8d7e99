"""The weights are read into the page cache beside vLLM's start: a prelude that nobody waits for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from llm_hoster.engine.model.page_cache import reader_command
from llm_hoster.engine.model.prelude import SilentPrelude
from llm_hoster.engine.model.weight_files import ALL, Part
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.record.job_log import say

LOG = "page_cache.log"


class ReadAhead(SilentPrelude):
    """Comes after a download, which may put the files there that it reads."""

    name = "page_cache"

    def __init__(
        self,
        source: str,
        environment: Mapping[str, str],
        runtime_dir: Path,
        *,
        num_gpus: int,
        on_gpu: bool,
        load_format: str = "safetensors",
        part: Part = ALL,
    ) -> None:
        """`environment` is vLLM's; `num_gpus` are those of this node."""
        self._source = source
        self._environment = environment
        self._runtime_dir = runtime_dir
        self._num_gpus = num_gpus
        self._on_gpu = on_gpu
        self._load_format = load_format
        self._part = part
        self._child = Child("page cache", log=runtime_dir / LOG, on_line=_say, on_end=lambda: None)
        self.children = []

    def start(self, notify: Callable[[], None]) -> None:
        self.is_done = True
        command = reader_command(
            self._source,
            self._environment,
            num_gpus=self._num_gpus,
            on_gpu=self._on_gpu,
            load_format=self._load_format,
            part=self._part,
        )
        if command is not None:
            # By the folder in it the next session here finds this process if all of ours is killed (leftovers.py).
            environment = os.environ | {"TMPDIR": str(self._runtime_dir / "t")}
            self._child.start(command, environment, cwd=self._runtime_dir)
            self.children = [self._child]


def _say(line: str) -> None:
    say("page cache", line)

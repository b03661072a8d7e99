"""The model's files into the cache, before vLLM starts: with a lock, hashes and progress, which its own way has not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from llm_hoster.catalogue.arguments import value_of
from llm_hoster.catalogue.choice import HUGGING_FACE_ID
from llm_hoster.engine.failures.failure import Failure
from llm_hoster.engine.process.child import Child
from llm_hoster.hub_cache import cache_of, find_model
from llm_hoster.session import expand_path

ERROR = "llm-hoster: "


def is_mistral(arguments: Sequence[str]) -> bool:
    """Whether these arguments of `vllm serve` ask for weights in Mistral's own layout."""
    return value_of("--load-format", arguments) == "mistral"


def caches_for(shared_models: str | None, environment: Mapping[str, str]) -> list[Path]:
    """Give the site's cache, which is the same for everybody and only read, and then vLLM's own."""
    shared = [expand_path(shared_models)] if shared_models else []
    return [*shared, cache_of(environment)]


def find_source(source: str, caches: Sequence[Path], arguments: Sequence[str] = ()) -> str:
    """
    Give the folder of a hub id that is complete in one of these caches, and else the source as it is.

    vLLM gets the folder: then it asks the hub nothing, and a newer version there changes no session.
    """
    if not HUGGING_FACE_ID.fullmatch(source):
        return source
    folder = find_model(source, caches, is_mistral=is_mistral(arguments))
    return source if folder is None else str(folder)


def needs_download(source: str, caches: Sequence[Path], arguments: Sequence[str] = ()) -> bool:
    """Whether the model is a hub id of which not all is in one of these caches. Reads a few small files."""
    return HUGGING_FACE_ID.fullmatch(find_source(source, caches, arguments)) is not None


class Download:
    """The prelude that runs `llm-hoster models pull`, into the cache that `environment`, which is vLLM's, names."""

    name = "download"
    title = "Download the model"

    def __init__(
        self, source: str, environment: Mapping[str, str], log: Path, *, cwd: Path, arguments: Sequence[str] = ()
    ) -> None:
        self._source = source
        self._environment = dict(environment)
        self._cwd = cwd
        self._layout = ["--mistral"] if is_mistral(arguments) else []
        self._log = log
        self._child: Child | None = None
        self.detail = ""
        self.is_done = False
        self.failure: Failure | None = None

    @property
    def children(self) -> Sequence[Child]:
        return [] if self._child is None else [self._child]

    def start(self, notify: Callable[[], None]) -> None:
        self._child = Child("download", log=self._log, on_line=lambda _: notify(), on_end=notify)
        self._child.start(self._command(), self._environment, cwd=self._cwd)

    def look(self) -> None:
        if self._child is None or self.is_done or self.failure is not None:
            return
        lines = list(self._child.lines)
        said = [line.removeprefix(f"{self._source}: ") for line in lines if line.startswith(f"{self._source}: ")]
        self.detail = said[-1] if said else ""
        status = self._child.return_code
        if status == 0:
            self.is_done = True
        elif status is not None:
            self.failure = _explain(self._source, lines, status)

    def _command(self) -> list[str]:
        # The login is in the environment, or in a file that it names.
        cache = str(cache_of(self._environment))
        pull = ["-m", "llm_hoster", "models", "pull", self._source, "--cache", cache]
        return [sys.executable, *pull, *self._layout]


def _explain(source: str, lines: Sequence[str], status: int) -> Failure:
    told = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    if told:
        return Failure(told[-1], None)
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    cause = (
        f"The download of {source} ended with {how}. What has come is kept: launch again, and it goes on from there. "
        "If it ends so again, show download.log to who runs LLM Hoster here."
    )
    return Failure(cause, lines[-1] if lines else None)

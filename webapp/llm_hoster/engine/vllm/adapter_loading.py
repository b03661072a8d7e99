"""
LoRA adapters of a vLLM that runs: what has come into the folder is loaded, what has gone is unloaded.

Its routes for this are open on the session's own socket alone (docs/security.md).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

from llm_hoster.engine.vllm.adapter import KEPT_MAX, Adapter, Found, check_weights, read_adapter
from llm_hoster.engine.vllm.request import post
from llm_hoster.errors import EngineError, SessionError

LOAD = "/v1/load_lora_adapter"
UNLOAD = "/v1/unload_lora_adapter"
# The largest adapters have some GiB, on a file system that may be slow.
ANSWER_TIMEOUT_S = 300.0
SENTENCE_MAX = 200
# Before vLLM's own sentence.
CALL_FAILED = "method failed: "
RESTART = "Restart the engine: a start makes room for all adapters in the folder."


class RefusedError(SessionError):
    """vLLM does not take an adapter; what it had by that name is unloaded."""


@dataclass(frozen=True)
class Change:
    """What one look at the folder has changed: names, and a sentence for each adapter that could not be served."""

    served: Sequence[Adapter]
    loaded: Sequence[str] = ()
    replaced: Sequence[str] = ()
    unloaded: Sequence[str] = ()
    faults: Sequence[str] = ()

    @property
    def sentence(self) -> str:
        parts = [
            ("Loaded: {names}.", self.loaded),
            ("Loaded anew: {names}.", self.replaced),
            ("Taken away: {names}.", self.unloaded),
        ]
        told = [text.format(names=", ".join(names)) for text, names in parts if names]
        return " ".join([*(told or ["No adapter has changed." if not self.faults else ""]), *self.faults]).strip()


@dataclass
class LoadedAdapters:
    """
    What one run of vLLM has of adapters: loaded at its start, and since.

    `rank_max` is the largest rank for which it was started. Used by one thread at a time.
    """

    socket_path: Path
    served: Sequence[Adapter]
    rank_max: int
    # How often each name was loaded, for it may not be loaded from the same path again.
    loads: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.loads |= {adapter.name: 1 for adapter in self.served}

    def follow(self, found: Found) -> Change:
        """Serve what was found; raise EngineError where vLLM does not answer."""
        served = {adapter.name: adapter for adapter in self.served}
        loaded: list[str] = []
        replaced: list[str] = []
        unloaded: list[str] = []
        faults = list(found.faults.values())
        try:
            # One that cannot be read at this moment goes on as it is.
            for name in served.keys() - found.faults.keys() - {adapter.name for adapter in found.adapters}:
                self._unload(name)
                del served[name]
                unloaded.append(name)
            for adapter in found.adapters:
                before = served.get(adapter.name)
                if before is not None and (before.stamp, before.folder) == (adapter.stamp, adapter.folder):
                    continue
                try:
                    self._check(adapter)
                    # `load_inplace` would keep it served meanwhile, but vLLM 0.32 then reads the files again for each
                    # step of each answer (LRUCacheWorkerLoRAManager.add_adapter).
                    self._unload(adapter.name)
                    if before is not None:
                        served[adapter.name] = replace(before, stamp="")  # Until vLLM has said what became of it.
                    self._load(adapter)
                except RefusedError as error:
                    served.pop(adapter.name, None)
                    faults.append(str(error))
                except SessionError as error:
                    faults.append(str(error))
                else:
                    served[adapter.name] = adapter
                    (loaded if before is None else replaced).append(adapter.name)
        finally:
            self.served = [served[name] for name in sorted(served)]
        return Change(self.served, loaded, replaced, sorted(unloaded), faults)

    def _check(self, adapter: Adapter) -> None:
        """Raise SessionError for what vLLM would refuse: what serves by that name goes on."""
        if adapter.rank > self.rank_max:
            raise SessionError(
                f"{adapter.name} has the rank {adapter.rank}, and the engine was started for ranks up to "
                f"{self.rank_max}. {RESTART}"
            )
        if sum(self.loads.values()) >= KEPT_MAX:
            raise SessionError(
                f"{adapter.name}: the engine has loaded {KEPT_MAX} adapters since its start, and keeps all of them. "
                f"{RESTART}"
            )
        check_weights(adapter)

    def _load(self, adapter: Adapter) -> None:
        # vLLM tells conversations that it has cached apart by the adapter's name and path, so new weights under an old
        # path would go on with what the old ones have read. Another spelling of the path is another one.
        times = self.loads.get(adapter.name, 0)
        status, answer = self._post(LOAD, lora_name=adapter.name, lora_path=f"{adapter.folder}{'/.' * times}")
        if status != HTTPStatus.OK:
            raise RefusedError(f"{adapter.name}: vLLM refuses it: {refusal_in(answer)}")
        self.loads[adapter.name] = times + 1

    def _unload(self, name: str) -> None:
        """An adapter that vLLM does not have is as good as unloaded."""
        status, answer = self._post(UNLOAD, lora_name=name)
        if status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            raise EngineError(f"{name}: vLLM does not unload it: {refusal_in(answer)}")

    def _post(self, path: str, **body: str) -> tuple[int, bytes]:
        try:
            return post(self.socket_path, path, body, ANSWER_TIMEOUT_S)
        except OSError as error:
            raise EngineError(
                "The engine did not answer while it loaded adapters. Look again when it is ready."
            ) from error


def still_servable(adapters: Sequence[Adapter], rank_max: int) -> list[Adapter]:
    """Give those that a start of vLLM can load, as they are now."""
    servable = []
    for adapter in adapters:
        try:
            now = read_adapter(adapter.folder)
            check_weights(adapter)
        except SessionError:
            continue
        if now.rank <= rank_max:
            servable.append(replace(adapter, rank=now.rank, stamp=now.stamp))
    return servable


def refusal_in(answer: bytes) -> str:
    """Shorten what vLLM says to one sentence."""
    try:
        message = str(json.loads(answer)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.decode(errors="replace")
    line = next((line.strip() for line in message.rpartition(CALL_FAILED)[2].splitlines() if line.strip()), "no reason")
    return line if len(line) <= SENTENCE_MAX else f"{line[: SENTENCE_MAX - 1]}…"

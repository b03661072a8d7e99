"""All that is needed to start vLLM for one choice: found out before anything that runs is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from llm_hoster.engine.model.prelude import Prelude
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.run.estimate import StartKey
from llm_hoster.engine.vllm.adapter import Adapter, Found
from llm_hoster.engine.vllm.adapter_loading import still_servable


@dataclass(frozen=True)
class AdapterFolder:
    """
    A person's LoRA adapters: `served` are those that this plan's vLLM has, or loads when it starts.

    `look` reads the folder; `command` is vLLM's with other adapters, and with the same room for them.
    """

    served: Sequence[Adapter]
    rank_max: int
    look: Callable[[], Found]
    command: Callable[[Sequence[Adapter]], Sequence[str]]


@dataclass(frozen=True)
class Plan:
    """
    `values` and `adjustment` are what differs from the launch; `preludes` makes new ones for each run.

    `start_key` names the starts that this one is like; `start_folders` have them, and the first takes this one's.
    """

    model: ServedModel
    command: Sequence[str]
    environment: Mapping[str, str]
    preludes: Callable[[], Sequence[Prelude]] = list
    start_key: StartKey | None = None
    start_folders: Sequence[Path] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    adjustment: Adjustment = field(default_factory=Adjustment)
    # None where the session has no folder of adapters.
    adapters: AdapterFolder | None = None
    # How much of the job's memory its vLLM takes while it sleeps; None where it cannot sleep.
    bytes_asleep: Callable[[], int | None] = lambda: None

    # The arguments that say what is served, however its weights are read; without adapters.
    choice: Sequence[str] = ()

    def serves_like(self, other: Plan) -> bool:
        return self._what() == other._what()

    def _what(self) -> tuple[object, ...]:
        served = None if self.adapters is None else list(self.adapters.served)
        return self.model.name, list(self.choice), self.adjustment, served

    def with_adapters(self, served: Sequence[Adapter]) -> Plan:
        if self.adapters is None or list(served) == list(self.adapters.served):
            return self
        return replace(self, adapters=replace(self.adapters, served=served), command=self.adapters.command(served))

    def with_adapters_of_now(self) -> Plan:
        """Leave out what a start could not load any more: somebody may have removed a folder since the last one."""
        if self.adapters is None:
            return self
        return self.with_adapters(still_servable(self.adapters.served, self.adapters.rank_max))


class Planner(Protocol):
    """Makes plans for one session."""

    def plan(self, values: Mapping[str, Any], adjustment: Adjustment) -> Plan:
        """`values` replace values of the form; raise LLMHosterError with a sentence for what cannot be served here."""

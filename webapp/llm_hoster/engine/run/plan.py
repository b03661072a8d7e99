"""All that is needed to start vLLM for one choice: found out before anything that runs is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from llm_hoster.engine.model.prelude import Prelude
from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.engine.run.estimate import StartKey


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


class Planner(Protocol):
    """Makes plans for one session."""

    def plan(self, values: Mapping[str, Any], adjustment: Adjustment) -> Plan:
        """`values` replace values of the form; raise LLMHosterError with a sentence for what cannot be served here."""

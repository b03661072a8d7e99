"""Which of the served models answers: the base model or one of its LoRA adapters, as kept with a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.engine.record.state import State

SETTING = "model"


@dataclass(frozen=True)
class ModelChoice:
    """`models` has titles by name, the base model first; `lost` is the name of one that was chosen and is away."""

    models: Mapping[str, str]
    chosen: str
    lost: str | None = None

    @property
    def title(self) -> str:
        return self.models[self.chosen]

    def take(self, wanted: str) -> ModelChoice:
        """Choose by name; an empty one leaves it as it is."""
        return _choose(self.models, wanted) if wanted else self


def model_choice(state: State, visitor: ApiKey, settings: Mapping[str, Any]) -> ModelChoice:
    """Offer what is served and the visitor's key may use; where it may use none of them, asking will say so."""
    served = {state.model.name: state.model.title} | {name: name for name in state.adapters or ()}
    allowed = {name: title for name, title in served.items() if not visitor.models or name in visitor.models}
    kept = settings.get(SETTING)
    return _choose(allowed or {state.model.name: state.model.title}, kept if isinstance(kept, str) else "")


def _choose(models: Mapping[str, str], wanted: str) -> ModelChoice:
    if wanted in models:
        return ModelChoice(models, wanted)
    return ModelChoice(models, next(iter(models)), wanted or None)

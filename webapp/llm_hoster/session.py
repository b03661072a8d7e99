"""The staged session: what the person chose, and the catalogue as it was at Launch, checked again on the node."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import BaseModel, ValidationError

from llm_hoster.catalogue.choice import Choice, FormValues, choose, variants_by_change
from llm_hoster.catalogue.compiled import Catalogue, Model
from llm_hoster.errors import SessionError


class Staged(BaseModel):
    """The content of session.json."""

    context: dict[str, object]
    catalogue: Catalogue


@dataclass(frozen=True)
class Session(Choice):
    """One launch: the choice of the form, resolved against the catalogue that came with it."""

    catalogue: Catalogue

    @property
    def su_estimate(self) -> float:
        return self.qos.su_per_hour * self.hours

    @property
    def idle_s(self) -> float | None:
        """For how long nobody may ask anything before the session ends; None = as long as it lasts."""
        return self.idle_minutes * 60 or None

    @property
    def is_typed(self) -> bool:
        """Whether the person typed the model: then nobody has judged yet whether it fits."""
        return self.verdict is None

    def models_here(self) -> list[Model]:
        """Give the models of the catalogue that fit the session's GPUs as published or otherwise, in its order."""
        place = (self.gpu_type.name, str(self.num_gpus))
        variants = variants_by_change(
            [each.name for each in self.catalogue.quantizations],
            [each.name for each in self.catalogue.presets],
            (self.quantization, self.preset),
        )
        return [
            model
            for model in self.catalogue.models
            if any(self.catalogue.verdict(model.name, *place, "/".join(each)).fits for each in variants)
        ]

    @classmethod
    def from_file(cls, path: Path) -> Session:
        """Read session.json; raise SessionError when it is not one, ChoiceError when its choice is not offered."""
        try:
            staged = Staged.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            message = f"{path}: not a session of LLM Hoster ({error}). Launch again from the portal."
            raise SessionError(message) from error
        return cls.from_context(staged.catalogue, staged.context)

    @classmethod
    def from_context(cls, catalogue: Catalogue, context: Mapping[str, object]) -> Session:
        """Look the form's values up; raise ChoiceError as the form does."""
        return cls(catalogue=catalogue, **vars(choose(catalogue, form_values(context))))


def form_values(context: Mapping[str, object]) -> FormValues:
    """Take the form's values from the context, as text; what is not there, or null, has its default."""
    names = [field.name for field in fields(FormValues)]
    return FormValues(**{name: str(context[name]) for name in names if context.get(name) is not None})


def expand_path(text: str) -> Path:
    """Expand $USER and friends in a path of the site; raise SessionError for a variable that is not set here."""
    expanded = os.path.expandvars(text)
    if "$" in expanded:
        raise SessionError(f"{text}: a variable in this path of site.yml is not set on the node {os.uname().nodename}.")
    return Path(expanded)

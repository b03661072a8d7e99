"""The staged session: what the person chose, and the catalogue as it was at Launch, checked again on the node."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from llm_hoster.catalogue.compiled import Catalogue, Choice
from llm_hoster.errors import SessionError


@dataclass(frozen=True)
class Session(Choice):
    """One launch: the choice of the form, resolved against the catalogue that came with it."""

    catalogue: Catalogue

    @property
    def su_estimate(self) -> float:
        return self.qos.su_per_hour * self.hours

    @classmethod
    def from_file(cls, path: Path) -> Session:
        """Read session.json; raise SessionError when it is not one, ChoiceError when its choice is not offered."""
        try:
            document = json.loads(path.read_text())
            catalogue = Catalogue.model_validate(document["catalogue"])
            context = document["context"]
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            message = f"{path}: not a session of LLM Hoster ({error}). Launch again from the portal."
            raise SessionError(message) from error
        return cls.from_context(catalogue, context)

    @classmethod
    def from_context(cls, catalogue: Catalogue, context: dict[str, str]) -> Session:
        """Look the form's values up; raise ChoiceError as the form does."""
        choice = catalogue.choose(
            model=context.get("model", ""),
            gpu_type=context.get("gpu_type", ""),
            num_gpus=context.get("num_gpus", ""),
            hours=context.get("bc_num_hours", ""),
        )
        return cls(catalogue=catalogue, **vars(choice))


def expand_path(text: str) -> Path:
    """Expand $USER and friends in a path of the site; raise SessionError for a variable that is not set here."""
    expanded = os.path.expandvars(text)
    if "$" in expanded:
        raise SessionError(f"{text}: a variable in this path of site.yml is not set on the node {os.uname().nodename}.")
    return Path(expanded)

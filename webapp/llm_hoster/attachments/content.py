"""What was read out of a file, as it is kept beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

# Raise it when more or better is read out of files: what was kept before is then read anew.
VERSION = 1

Form = Literal["text", "pdf", "word", "picture"]


@dataclass(frozen=True)
class Content:
    """
    `form` is what the bytes are, which their name does not decide.

    A PDF has a text for each of its pages, in their order, others have one. A picture has none, but a type and a size.
    """

    form: Form
    pages: tuple[str, ...] = ()
    media_type: str = ""
    width: int = 0
    height: int = 0

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, **self.__dict__})

    @classmethod
    def from_json(cls, text: str) -> Content | None:
        """Give None for what is damaged or of another version."""
        try:
            values = json.loads(text)
            if values.pop("version") != VERSION:
                return None
            return cls(**{**values, "pages": tuple(values["pages"])})
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

"""One attached file as a message carries it; its bytes and its text are in the store."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from llm_hoster.attachments.names import shown_name

Kind = Literal["text", "table", "pdf", "word", "picture"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Figures that the sentences about a file of a kind have.
NEEDED = {"pdf": {"pages"}, "table": {"rows", "columns"}, "picture": {"width", "height"}}
# Of English; code and other languages have fewer.
CHARACTERS_OF_TOKEN = 4
ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Attachment:
    """`id` is the SHA-256 of the bytes; the figures are None where a kind has none of them."""

    id: str
    name: str
    kind: Kind
    size: int  # bytes
    characters: int = 0  # of the text that goes into the question
    tokens: int | None = None  # of the same, where somebody has counted them
    pages: int | None = None
    rows: int | None = None  # without the line of names
    columns: int | None = None
    width: int | None = None
    height: int | None = None

    @property
    def tokens_guess(self) -> int:
        """Give what a model reads of its text, roughly; for a picture nothing, since models differ in that."""
        return 0 if self.kind == "picture" else -(-self.characters // CHARACTERS_OF_TOKEN)

    def to_json(self) -> dict[str, Any]:
        """Give what is known, for a message's row."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Attachment:
        """Raise ValueError for what `to_json` has not written: an imported history may come from anybody."""
        figures: dict[str, Any] = {name: values[name] for name in FIGURES if values.get(name) is not None}
        identity, name, kind = values.get("id"), values.get("name"), values.get("kind")
        if not (isinstance(identity, str) and ID.fullmatch(identity) and isinstance(name, str) and kind in KINDS):
            raise ValueError("this is no attachment")
        if "size" not in figures or not all(type(value) is int and value >= 0 for value in figures.values()):
            raise ValueError("the figures of an attachment are whole numbers")
        if not NEEDED.get(kind, set()) <= figures.keys():
            raise ValueError(f"what is told of a {kind} is missing")
        return cls(identity, shown_name(name), kind, **figures)


def attachments_from_json(values: object) -> list[Attachment]:
    """Leave out what is none."""
    found = []
    for value in values if isinstance(values, list) else []:
        with contextlib.suppress(ValueError):
            found.append(Attachment.from_json(value if isinstance(value, dict) else {}))
    return found


FIGURES = tuple(field.name for field in dataclasses.fields(Attachment)[3:])

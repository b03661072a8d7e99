"""One thing that doctor found: in which line, what is there, what was expected, and the line to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["change", "note", "unread"]


@dataclass(frozen=True)
class Finding:
    """`change` = the site does not work as it is written; `note` = worth a look; `unread` = could not be checked."""

    kind: Kind
    expected: str
    file: str | None = None
    line: int | None = None
    field: str | None = None
    found: str | None = None
    proposal: str | None = None

    @property
    def text(self) -> str:
        if self.file is None:
            return self.expected
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        text = f"{place}: {self.field}: found {self.found}, expected {self.expected}"
        return text if self.proposal is None else f"{text}\n    write: {self.proposal}"

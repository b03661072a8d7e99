"""What is changed of a launch while the session runs: a few settings of vLLM, which come after all others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_hoster.errors import SessionError

# Of an order that came through a page: nothing that a person could mean lies outside.
NUMBERS = {"max_model_len": (1, 100_000_000), "max_num_seqs": (1, 65_536)}


@dataclass(frozen=True)
class Adjustment:
    """None or False leaves a setting as it was launched; the names are vLLM's."""

    max_model_len: int | None = None
    max_num_seqs: int | None = None
    enforce_eager: bool = False

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Adjustment:
        """Take what a page or a command sends; raise SessionError for anything that is not a setting of ours."""
        for name, value in values.items():
            if name in NUMBERS:
                low, high = NUMBERS[name]
                is_right = value is None or (type(value) is int and low <= value <= high)
            else:
                is_right = name == "enforce_eager" and type(value) is bool
            if not is_right:
                names = ", ".join(field.name for field in dataclasses.fields(cls))
                raise SessionError(f"{name}: {str(value)[:40]!r} cannot be set. What can be changed: {names}.")
        return cls(**values)

    def arguments(self) -> list[str]:
        """Give vLLM's arguments; of two, it takes the later one."""
        arguments = []
        if self.max_model_len is not None:
            arguments += ["--max-model-len", str(self.max_model_len)]
        if self.max_num_seqs is not None:
            arguments += ["--max-num-seqs", str(self.max_num_seqs)]
        if self.enforce_eager:
            arguments += ["--enforce-eager"]
        return arguments

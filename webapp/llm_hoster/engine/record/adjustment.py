"""What is changed of a launch while the session runs: a few settings of vLLM, which come after all others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_hoster.errors import SessionError

# Of an order that came through a page: nothing that a person could mean lies outside.
NUMBERS = {"max_model_len": (1, 100_000_000), "max_num_seqs": (1, 65_536), "max_num_batched_tokens": (1, 16_777_216)}
# With less, a GPU that is shared so much serves nobody well; the rest is what CUDA needs beside vLLM.
SHARES = {"gpu_memory_utilization": (0.5, 0.98)}
SWITCHES = ("enforce_eager",)


@dataclass(frozen=True)
class Adjustment:
    """None or False leaves a setting as it was launched; the names are vLLM's."""

    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    enforce_eager: bool = False

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Adjustment:
        """Take what a page or a command sends; raise SessionError for anything that is not a setting of ours."""
        for name, value in values.items():
            if not _is_right(name, value):
                names = ", ".join(field.name for field in dataclasses.fields(cls))
                raise SessionError(f"{name}: {str(value)[:40]!r} cannot be set. What can be changed: {names}.")
        return cls(**values)

    def followed_by(self, later: Adjustment) -> Adjustment:
        """Add what `later` sets; of a setting in both, its value counts."""
        changed = {name: value for name, value in dataclasses.asdict(later).items() if value not in (None, False)}
        return dataclasses.replace(self, **changed)

    def arguments(self) -> list[str]:
        """Give vLLM's arguments; of two, it takes the later one."""
        arguments = []
        for name in (*NUMBERS, *SHARES):
            value = getattr(self, name)
            if value is not None:
                arguments += [_option(name), str(value)]
        return arguments + [_option(name) for name in SWITCHES if getattr(self, name)]


def _is_right(name: str, value: object) -> bool:
    """Types count too: JSON's `true` is a number for Python."""
    if name in SWITCHES:
        return type(value) is bool
    if name in NUMBERS:
        low, high = NUMBERS[name]
        return value is None or (type(value) is int and low <= value <= high)
    if name in SHARES:
        least, most = SHARES[name]
        return value is None or (type(value) is float and least <= value <= most)
    return False


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"

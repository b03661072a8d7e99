"""The fields of a model's config.json, read with their types: such a file comes from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from llm_hoster.errors import ArchitectureError

# Far above any model, low enough that no product of a few of them is a burden.
INTEGER_MAX = 2**31 - 1
LIST_MAX = 4096

T = TypeVar("T")


class Fields:
    """One object of config.json; `defaults` holds what its publisher leaves out because transformers knows it."""

    def __init__(self, values: Mapping[str, object], where: str = "", defaults: Mapping[str, object] | None = None):
        self.values = values
        self.where = where
        self.defaults = defaults or {}

    def get(self, name: str) -> object:
        value = self.values.get(name)
        return self.defaults.get(name) if value is None else value

    def has(self, name: str) -> bool:
        return self.get(name) is not None

    def first(self, *names: str) -> str:
        """Say which of these names is there; the first when none is."""
        return next((name for name in names if self.has(name)), names[0])

    def integer(self, *names: str, default: int | None = None) -> int:
        name = self.first(*names)
        value = self.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INTEGER_MAX:
            raise self.fault(name, value, f"a whole number from 0 to {INTEGER_MAX}")
        return value

    def positive(self, *names: str, default: int | None = None) -> int:
        value = self.integer(*names, default=default)
        if value < 1:
            raise self.fault(self.first(*names), value, "a whole number from 1")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= INTEGER_MAX:
            raise self.fault(name, value, "a number not below 0")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fault(name, value, "true or false")
        return value

    def text(self, name: str, default: str = "") -> str:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.fault(name, value, "a text")
        return value

    def items(self, name: str, kind: type[T]) -> tuple[T, ...]:
        """The entries of a list, () when it is not there."""
        value = self.get(name)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or len(value) > LIST_MAX:
            raise self.fault(name, value, f"a list of at most {LIST_MAX} entries")
        if not all(isinstance(each, kind) and not isinstance(each, bool) for each in value):
            raise self.fault(name, value, f"a list of {kind.__name__}")
        return tuple(value)

    def part(self, name: str, defaults: Mapping[str, object] | None = None) -> Fields | None:
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.fault(name, value, "a group of fields")
        return Fields(value, f"{self.where}{name}.", defaults)

    def but(self, **values: object) -> Fields:
        """The same fields with other values for some."""
        return Fields({**self.values, **values}, self.where, self.defaults)

    def fault(self, name: str, value: object, expected: str) -> ArchitectureError:
        found = "nothing" if value is None else repr(value)[:60]
        return ArchitectureError(f"config.json, {self.where}{name}: found {found}, expected {expected}")

"""Values of a file that anybody may have written: each is read as what it should be, or not at all."""

from __future__ import annotations

import re
import time
from typing import Any

ID_MAX = 200
WHOLE_MAX = 2**53
# Later than any date in seconds: then it counts milliseconds, or smaller ones.
SECONDS_MAX = 1e11
OWN_ID = re.compile("[0-9a-f]{32}")


def text_of(value: Any) -> str:
    """Null characters end a text in too many programs."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else ""


def id_of(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= ID_MAX else None


def number_of(value: Any) -> float | None:
    """Give a number that is not negative."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= WHOLE_MAX else None


def whole_of(value: Any) -> int | None:
    return None if number_of(value) is None else int(value)


def time_of(value: Any, default: float) -> float:
    """Give Unix seconds that have passed: what is to come would stay on top of the list."""
    seconds = number_of(value)
    if not seconds:
        return default
    while seconds > SECONDS_MAX:
        seconds /= 1000
    return min(seconds, time.time())


def dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

"""What each setting of a conversation may be: read as people write it, checked as JSON has it."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

PROMPT_MAX = 100_000
JSON_MAX_BYTES = 100_000
# More are refused by vLLM (VLLM_MAX_STOP_STRINGS).
STOP_MAX = 4
STOP_LENGTH_MAX = 200
TOOLS_MAX = 64
FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SHOWN_MAX = 40
FUNCTION_EXAMPLE = '{"name": "find_paper", "parameters": {"type": "object"}}'


class SettingError(ValueError):
    """What was expected and what came, in a sentence for the person."""


class Setting(ABC):
    """`read` and `check` raise SettingError. Nothing written means: not set."""

    def read(self, text: str) -> Any:
        """Take what was written into a form; None for nothing."""
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}").replace("\r\n", "\n")
        return self.check(self.value_of(text)) if text.strip() else None

    @abstractmethod
    def value_of(self, text: str) -> Any:
        """Make a value of a text that is not empty."""

    @abstractmethod
    def check(self, value: Any) -> Any:
        """Give a value as it is kept; it may come from anybody's file."""

    def text_of(self, value: Any) -> str:
        """Write a value as `read` takes it."""
        return str(value)


@dataclass(frozen=True)
class Text(Setting):
    maximum: int

    def value_of(self, text: str) -> str:
        return text.strip()

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise SettingError(f"Expected a text; {_kind_of(value)} came.")
        if len(value) > self.maximum:
            raise SettingError(f"Expected at most {self.maximum:,} characters; {len(value):,} came.")
        return _whole(value)


@dataclass(frozen=True)
class Number(Setting):
    """`least` itself is allowed unless `is_above` is set."""

    least: float
    most: float
    is_whole: bool = False
    is_above: bool = False

    def value_of(self, text: str) -> float | int:
        """Take the comma of other languages too; among the digits of a whole number it means nothing."""
        written = text.strip()
        try:
            if self.is_whole:
                return int(re.sub(r"(?<=\d)[,\s](?=\d{3}\b)", "", written))
            return float(written.replace(",", "."))
        except ValueError:
            self._refuse(written)

    def check(self, value: Any) -> float | int:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.least <= value <= self.most or (self.is_above and value == self.least):
            self._refuse(str(value))
        if self.is_whole and value != int(value):
            self._refuse(str(value))
        return int(value) if self.is_whole else float(value)

    def text_of(self, value: Any) -> str:
        return f"{value:d}" if self.is_whole else f"{value:g}"

    def _refuse(self, written: str) -> NoReturn:
        kind = "a whole number" if self.is_whole else "a number"
        bounds = f"from {self.least:,} to {self.most:,}"
        if self.is_above:
            bounds = f"above {self.least:,}, at most {self.most:,}"
        raise SettingError(f"Expected {kind} {bounds}, or nothing; {_cut(written)} came.")


@dataclass(frozen=True)
class StopStrings(Setting):
    r"""One a line; `\n` and `\t` stand for the end of a line and a tab, and `\\` for a backslash."""

    def value_of(self, text: str) -> list[str]:
        return [_unescape(line) for line in text.split("\n") if line.strip()]

    def check(self, value: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise SettingError(f"Expected a list of texts; {_kind_of(value)} came.")
        if len(value) > STOP_MAX:
            raise SettingError(f"Expected at most {STOP_MAX} texts, one a line; {len(value)} came.")
        longest = max(map(len, value), default=0)
        if longest > STOP_LENGTH_MAX:
            raise SettingError(f"Expected texts of at most {STOP_LENGTH_MAX} characters; one has {longest:,}.")
        return [_whole(each) for each in value]

    def text_of(self, value: Any) -> str:
        return "\n".join(each.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") for each in value)


@dataclass(frozen=True)
class Choice(Setting):
    """One of a few values, by the words of the form."""

    values: Mapping[str, Any]

    def value_of(self, text: str) -> Any:
        return self.values.get(text, text)

    def check(self, value: Any) -> Any:
        if not any(type(value) is type(each) and value == each for each in self.values.values()):
            raise SettingError(f"Expected one of {', '.join(self.values)}; {_cut(str(value))} came.")
        return value

    def text_of(self, value: Any) -> str:
        return next(text for text, each in self.values.items() if each == value)


class JSON(Setting):
    def value_of(self, text: str) -> Any:
        _require_short(text)
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise SettingError(f"Expected JSON; this is none from {place} on: {error.msg}.") from error
        except RecursionError as error:
            raise SettingError("Expected JSON of fewer levels; this is nested too deeply.") from error
        except ValueError as error:
            raise SettingError(f"Expected JSON; this has what JSON has not: {error}.") from error

    def text_of(self, value: Any) -> str:
        return json.dumps(value, indent=2, ensure_ascii=False)


class Schema(JSON):
    def check(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            raise SettingError(f'Expected a JSON Schema, such as {{"type": "object"}}; {_kind_of(value)} came.')
        _require_short(_dump(value))
        return value


class Tools(JSON):
    """Definitions of functions; with or without the API's wrapping, which is kept."""

    def check(self, value: Any) -> list[dict[str, Any]]:
        if isinstance(value, dict) and value:
            value = [value]
        if not isinstance(value, list) or not value:
            raise SettingError(f"Expected a list such as [{FUNCTION_EXAMPLE}]; {_kind_of(value)} came.")
        if len(value) > TOOLS_MAX:
            raise SettingError(f"Expected at most {TOOLS_MAX} tools; {len(value)} came.")
        _require_short(_dump(value))
        tools = [_tool_of(number, each) for number, each in enumerate(value, start=1)]
        names = [tool["function"]["name"] for tool in tools]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise SettingError(f"Expected tools of different names; {_cut(twice)} came twice.")
        return tools


def _tool_of(number: int, value: Any) -> dict[str, Any]:
    function = value.get("function") if isinstance(value, dict) and value.get("type") == "function" else value
    if not isinstance(function, dict):
        raise SettingError(f"Tool {number}: expected an object such as {FUNCTION_EXAMPLE}; {_kind_of(function)} came.")
    name = function.get("name")
    if not isinstance(name, str) or not FUNCTION_NAME.fullmatch(name):
        came = _cut(name) if isinstance(name, str) else _kind_of(name)
        raise SettingError(f"Tool {number}: expected a name of at most 64 letters, digits, “_” and “-”; {came} came.")
    for key, kind, words in (("description", str, "a text"), ("parameters", dict, "a JSON Schema, an object,")):
        if key in function and not isinstance(function[key], kind):
            raise SettingError(f"Tool {number}: expected {words} as “{key}”; {_kind_of(function[key])} came.")
    return {"type": "function", "function": function}


def _require_short(text: str) -> None:
    length = len(text.encode())
    if length > JSON_MAX_BYTES:
        raise SettingError(f"Expected at most {JSON_MAX_BYTES // 1000} kB of JSON; {length / 1000:,.0f} kB came.")


def _dump(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise SettingError("Expected JSON; this cannot be written as such.") from error
    return _whole(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _whole(text: str) -> str:
    """Half of a pair of surrogates can be neither saved nor shown."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SettingError("Expected text; a half of a character came.") from error
    return text


def _unescape(line: str) -> str:
    meanings = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}
    return re.sub(r"\\[nt\\]", lambda match: meanings[match[0]], line)


def _cut(text: str) -> str:
    return f"“{text}”" if len(text) <= SHOWN_MAX else f"“{text[:SHOWN_MAX]}…”"


def _kind_of(value: Any) -> str:
    if value in ({}, []):
        return "an empty one"
    kinds = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return "nothing" if value is None else kinds.get(type(value), "an object")

"""Prompts to begin a message with, and the variables in them: `{{language}}` is asked for when one is used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import yaml

from llm_hoster.chat.shelf import Item
from llm_hoster.language import FOLDER, language

TEXT_MAX = 100_000
VARIABLES_MAX = 30
VARIABLE = re.compile(r"\{\{\s*([^{}\s](?:[^{}\n]{0,58}[^{}\s])?)\s*\}\}")


@dataclass(frozen=True)
class Part:
    """A piece of a prompt as it is written; where it is a variable, its name."""

    text: str
    variable: str = ""


@dataclass(frozen=True)
class Prompt:
    """`is_own`: the person has written it, and may change it."""

    id: str
    title: str
    text: str
    is_own: bool = False

    @cached_property
    def parts(self) -> list[Part]:
        # A pattern with one group cuts into texts and names by turns.
        pieces, names = VARIABLE.split(self.text), VARIABLE.finditer(self.text)
        parts = [Part(next(names)[0], piece) if index % 2 else Part(piece) for index, piece in enumerate(pieces)]
        return [part for part in parts if part.text]

    @property
    def variables(self) -> list[str]:
        """Name each once, in the order of the text; of a great many, the first."""
        return list(dict.fromkeys(part.variable for part in self.parts if part.variable))[:VARIABLES_MAX]

    @property
    def first_line(self) -> str:
        return next(iter(self.text.split("\n")), "")[:200]

    @classmethod
    def of(cls, item: Item) -> Prompt:
        text = item.body.get("text")
        return cls(item.id, item.title, text if isinstance(text, str) else "", is_own=True)


def given_prompts() -> tuple[Prompt, ...]:
    """Give those that come with the app, in the reader's language."""
    return _given(language())


@lru_cache
def _given(language: str) -> tuple[Prompt, ...]:
    entries = yaml.safe_load((FOLDER / f"prompts.{language}.yml").read_text())
    return tuple(Prompt(entry["id"], entry["title"], entry["text"].strip()) for entry in entries)


def all_prompts(own: Iterable[Item]) -> list[Prompt]:
    """One's own come first."""
    return [*map(Prompt.of, own), *given_prompts()]

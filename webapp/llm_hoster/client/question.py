"""What is asked, as the openai package wants it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Messages = str | Iterable[Mapping[str, Any]]


def messages_of(question: Messages, system: str | None) -> list[Any]:
    """A text is what the person says. `system` comes first."""
    asked = [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
    return [{"role": "system", "content": system}, *asked] if system else asked


def asked_texts(texts: str | Sequence[str]) -> str | list[str]:
    return texts if isinstance(texts, str) else list(texts)

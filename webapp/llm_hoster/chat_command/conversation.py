"""A conversation with a model: what was said, and what of it is sent."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from llm_hoster.errors import LLMHosterError


@dataclass
class Conversation:
    system: str | None = None
    messages: list[dict[str, str]] = field(default_factory=list)

    def begin_again(self) -> None:
        self.messages.clear()

    def add_question(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})

    def add_answer(self, text: str) -> None:
        """Without a word of an answer the question is taken back."""
        if text:
            self.messages.append({"role": "assistant", "content": text})
        else:
            self.messages.pop()

    def save(self, path: Path) -> None:
        """Write it as Markdown, for its owner alone, into a file that is not there yet."""
        titles = {"user": "You", "assistant": "Model"}
        parts = [f"## {titles[each['role']]}\n\n{each['content']}\n" for each in self.messages]
        if self.system:
            parts.insert(0, f"## System\n\n{self.system}\n")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise LLMHosterError(f"{path} cannot be written: {error.strerror}.") from error
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(parts))

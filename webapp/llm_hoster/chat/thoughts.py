"""What of a reply is thought and what is answer, where the engine does not tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from llm_hoster.chat.delta import Delta

OPEN, CLOSE = "<think>", "</think>"


class Thoughts:
    """
    Cuts what stands between the tags at the very beginning of a reply: of a model that nobody knows (typed, fine-tuned,
    an adapter) the engine cannot say how it thinks, and leaves the tags in its answer. Further on they are text.
    """

    def __init__(self, *, is_answer: bool = False) -> None:
        """With `is_answer` an answer goes on: all is answer, though the engine may take it for thoughts anew."""
        self._place: Literal["before", "within", "after", "answer"] = "answer" if is_answer else "before"
        self._is_answer = is_answer
        self._is_thinking = False
        # The end of what came, as long as it may be the beginning of a tag.
        self._held = ""

    def cut(self, delta: Delta) -> Delta:
        if self._is_answer and delta.reasoning:
            return replace(delta, content=delta.reasoning + delta.content, reasoning="")
        if delta.reasoning and self._place == "before":
            self._place = "answer"  # The engine knows the tags of this model.
        if not delta.content and delta.finish_reason is None:
            return delta
        thoughts, text = self._divide(self._held + delta.content, is_last=delta.finish_reason is not None)
        return replace(delta, reasoning=delta.reasoning + thoughts, content=text)

    def _divide(self, text: str, *, is_last: bool) -> tuple[str, str]:
        self._held, thoughts = "", ""
        if self._place == "before":
            begun = text.lstrip()
            if begun.startswith(OPEN):
                self._place, text = "within", begun.removeprefix(OPEN)
            elif OPEN.startswith(begun) and not is_last:
                self._held, text = text, ""
            else:
                self._place = "answer"
        if self._place == "within":
            thoughts, close, text = text.partition(CLOSE)
            if close:
                self._place = "after"
            elif not is_last:
                whole = len(thoughts) - begun_tag(thoughts)
                thoughts, self._held = thoughts[:whole], thoughts[whole:]
            thoughts = thoughts if self._is_thinking else thoughts.lstrip()
            self._is_thinking = self._is_thinking or bool(thoughts)
        if self._place == "after":
            text = text.lstrip()
            self._place = "answer" if text else "after"
        return thoughts, text


def begun_tag(text: str) -> int:
    """Give how many letters at the end of a text may be the beginning of the tag that ends thoughts."""
    return next(length for length in range(len(CLOSE) - 1, -1, -1) if text.endswith(CLOSE[:length]))

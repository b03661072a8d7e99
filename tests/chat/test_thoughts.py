"""Thoughts between tags, of models whose ways the engine does not know."""

from __future__ import annotations

import pytest

from llm_hoster.chat.delta import Delta
from llm_hoster.chat.thoughts import Thoughts


def cut(text: str, size: int, *, is_answer: bool = False) -> tuple[str, str]:
    thoughts = Thoughts(is_answer=is_answer)
    pieces = [Delta(content=text[start : start + size]) for start in range(0, len(text), size)]
    deltas = [thoughts.cut(piece) for piece in [*pieces, Delta(finish_reason="stop")]]
    return "".join(delta.reasoning for delta in deltas), "".join(delta.content for delta in deltas)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 1000])
@pytest.mark.parametrize(("text", "thought", "answer"), [
    ("<think>\nI ponder </this>\n</think>\n\nThe answer", "I ponder </this>\n", "The answer"),
    ("\n <think>a</think>b <think>c</think>", "a", "b <think>c</think>"),
    ("<think></think>\n\nb", "", "b"),
    ("<think>cut off in the middle </thi", "cut off in the middle </thi", ""),
    ("<thin", "", "<thin"),
    ("  <b>bold</b> <think>x</think>", "", "  <b>bold</b> <think>x</think>"),
    ("A tag: <think> begins them, </think> ends them.", "", "A tag: <think> begins them, </think> ends them."),
])  # fmt: skip
def test_thoughts_are_what_stands_between_the_first_tags_however_it_comes(
    text: str, thought: str, answer: str, size: int
) -> None:
    assert cut(text, size) == (thought, answer)


def test_what_goes_on_with_an_answer_is_answer() -> None:
    assert cut("<think>x</think>y", 3, is_answer=True) == ("", "<think>x</think>y")


def test_where_the_engine_knows_the_tags_they_are_text() -> None:
    thoughts = Thoughts()
    assert thoughts.cut(Delta(reasoning="hm")) == Delta(reasoning="hm")
    assert thoughts.cut(Delta(content="<think>")) == Delta(content="<think>")


def test_what_says_nothing_is_let_through() -> None:
    usage = Delta(usage={"completion_tokens": 3})
    assert Thoughts().cut(usage) == usage

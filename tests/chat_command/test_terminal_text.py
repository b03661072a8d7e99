"""What a model writes cannot steer a terminal, and is shown as what it is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from llm_hoster.chat_command.markdown_blocks import MarkdownBlocks
from llm_hoster.chat_command.reply_view import MarkdownView, PlainView
from llm_hoster.chat_command.terminal_text import PlainPieces, plain
from llm_hoster.client import Piece
from tests.chat_command.terminal import SEQUENCE

HOSTILE = [
    ("a\x1b[31mb\x1b[0m", "ab"),
    ("a\x1b]0;title\x07b", "ab"),
    ("a\x1b]8;;http://evil\x1b\\b", "ab"),
    ("a\x1b]52;c;cm0gLXJmIC8=\x07b", "ab"),  # Writes to the clipboard.
    ("a\x1bP1$tx\x1b\\b", "ab"),
    ("a\x1bcb", "ab"),  # Resets the terminal.
    ("a\x1b(0b", "ab"),
    ("a\x9b2Jb", "ab"),
    ("a\x9d0;t\x9cb", "ab"),
    ("a\x08\x7f\x00\x05b", "ab"),
    ("a\rb", "a b"),
    ("a\u202eb", "ab"),  # Turns the direction.
    ("a\x1b\x1b[31mb", "ab"),
    ("ends in one \x1b[3", "ends in one "),
]


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_nothing_steers_the_terminal_however_it_is_cut(text: str, expected: str) -> None:
    assert plain(text) == expected
    for cut in range(len(text) + 1):
        pieces = PlainPieces()
        assert pieces.feed(text[:cut]) + pieces.feed(text[cut:]) + pieces.end() == expected


def test_texts_of_people_stay_as_they_are() -> None:
    text = "naïve 漢字\tהנה\n👩\u200d🔬 “x”"
    assert plain(text) == text
    assert plain("a\u00a0b\r\nc") == "a b\nc"


def test_a_sequence_without_an_end_is_not_waited_for_for_ever() -> None:
    pieces = PlainPieces()
    assert pieces.feed("\x1b]0;") + pieces.feed("x" * 5000) == ""
    assert pieces.feed("after") == "after"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_blocks_are_given_once_they_are_finished(size: int) -> None:
    text = (
        "# Title\n\nOne\ntwo.\n\n- a\n\n- b\n\n```python\nx = 1\n\ny = 2\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd"
    )
    blocks = MarkdownBlocks()
    finished = [blocks.feed(text[begin : begin + size]) for begin in range(0, len(text), size)]
    assert "".join(finished) + blocks.open == text
    assert blocks.open == "End"
    assert "```python\nx = 1\n\ny = 2\n```" in "".join(finished)


def show(*pieces: tuple[str, bool], height: int = 24) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=height, color_system="standard")
    with MarkdownView(console) as view:
        for text, is_reasoning in pieces:
            view.show(Piece.of(text, is_reasoning=is_reasoning))
    return out.getvalue()


def test_reasoning_is_dim_and_comes_before_the_answer() -> None:
    shown = show(("I think\nso", True), ("**Yes**.", False))
    assert "\x1b[2mI think\x1b[0m" in shown
    assert shown.index("so") < shown.index("\x1b[1mYes\x1b[0m")


def test_a_link_shows_where_it_leads_and_markup_of_the_screen_is_only_text() -> None:
    shown = show(("[bank](http://evil.example/x) [red]no[/red]\n\n", False), ("end", False))
    assert "http://evil.example/x" in shown
    assert "\x1b]8" not in shown
    assert "[red]no[/red]" in shown


def test_a_block_longer_than_the_window_is_whole_in_the_end() -> None:
    code = "".join(f"line {number}\n" for number in range(200))
    shown = show(*[(piece, False) for piece in ("```\n", *code.splitlines(keepends=True), "```\n")], height=10)
    lines = [line.strip() for line in SEQUENCE.sub("", shown).splitlines()]
    last = len(lines) - lines[::-1].index("line 0") - 1
    assert [line for line in lines[last:] if line] == code.splitlines()


def test_of_a_block_longer_than_the_window_the_end_is_shown_while_it_is_written() -> None:
    out = io.StringIO()
    with MarkdownView(Console(file=out, force_terminal=True, width=60, height=10)) as view:
        view.show(Piece.of("```\n" + "".join(f"line {number}\n" for number in range(200)), is_reasoning=False))
        out.truncate(0)
        view._live.refresh()
        shown = SEQUENCE.sub("", out.getvalue())
    assert "line 199" in shown
    assert "line 150" not in shown


def test_a_pipe_gets_the_answer_alone() -> None:
    out = io.StringIO()
    with PlainView(out) as view:
        for text, is_reasoning in [("Hm.", True), ("**Y", False), ("es**\x1b[", False), ("31m.", False)]:
            view.show(Piece.of(text, is_reasoning=is_reasoning))
    assert out.getvalue() == "**Yes**.\n"

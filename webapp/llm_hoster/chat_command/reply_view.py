"""How a reply is shown while it is written: Markdown in a terminal, letters elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

from llm_hoster.chat_command.markdown_blocks import MarkdownBlocks
from llm_hoster.chat_command.terminal_text import PlainPieces
from llm_hoster.client import Piece

REDRAWS_PER_S = 8


class ReplyView(Protocol):
    def show(self, piece: Piece) -> None: ...

    def __enter__(self) -> ReplyView: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PlainView:
    """For pipes and files: the answer alone, each letter as it comes, and a line's end after the last."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._pieces = PlainPieces()

    def __enter__(self) -> PlainView:
        return self

    def show(self, piece: Piece) -> None:
        if not piece.is_reasoning:
            self._out.write(self._pieces.feed(piece))
            self._out.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.write(self._pieces.end() + "\n")
        self._out.flush()


class MarkdownView:
    """
    For a terminal: reasoning dim, the answer as Markdown.

    Finished blocks are printed once and stay. Only the block that is being written is drawn again, and no more of it
    than the window has lines.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._reasoning = PlainPieces()
        self._answer = PlainPieces()
        self._thought = ""
        self._blocks = MarkdownBlocks()
        self._live = Live(
            console=console, refresh_per_second=REDRAWS_PER_S, get_renderable=self._unfinished, transient=True
        )

    def __enter__(self) -> MarkdownView:
        self._live.start()
        return self

    def show(self, piece: Piece) -> None:
        if piece.is_reasoning:
            self._thought += self._reasoning.feed(piece)
            *lines, self._thought = self._thought.split("\n")
            if lines:
                self._console.print(_dim("\n".join(lines)))
            return
        self._end_thought()
        self._print(self._blocks.feed(self._answer.feed(piece)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_thought()
        self._print(self._blocks.feed(self._answer.end()))
        self._live.stop()
        self._print(self._blocks.open)

    def _end_thought(self) -> None:
        thought, self._thought = self._thought + self._reasoning.end(), ""
        if thought:
            self._console.print(_dim(thought))

    def _print(self, text: str) -> None:
        if text.strip():
            self._console.print(_markdown(text))

    def _unfinished(self) -> Tail:
        thought = [_dim(self._thought)] if self._thought else []
        answer = [_markdown(self._blocks.open)] if self._blocks.open else []
        return Tail(Group(*thought, *answer))


class Tail:
    """The last lines of something, as many as the window has."""

    def __init__(self, content: Group) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._content, options, pad=False)
        for line in lines[-max(1, console.size.height - 2) :]:
            yield from line
            yield Segment.line()


def _markdown(text: str) -> Markdown:
    """A link shows its address: the model may have written another one over it."""
    return Markdown(text, hyperlinks=False)


def _dim(text: str) -> Text:
    return Text(text, style="dim")

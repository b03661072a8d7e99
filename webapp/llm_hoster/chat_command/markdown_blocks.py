"""A Markdown text that grows: its finished blocks, and the one that is still being written."""

from __future__ import annotations

from markdown_it import MarkdownIt

_parser = MarkdownIt("commonmark").enable("table")


class MarkdownBlocks:
    """Each part of the text is given once as finished, and only what is not finished is looked at again."""

    def __init__(self) -> None:
        self.open = ""

    def feed(self, text: str) -> str:
        """Give what is finished by now: it will look the same whatever comes."""
        self.open += text
        blocks = [token.map for token in _parser.parse(self.open) if token.level == 0 and token.map]
        if len(blocks) < 2:
            return ""
        lines = self.open.splitlines(keepends=True)
        begin = blocks[-1][0]
        self.open = "".join(lines[begin:])
        return "".join(lines[:begin])

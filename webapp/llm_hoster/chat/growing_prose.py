"""
Markdown that grows: finished blocks become HTML at once and for good, and the last one is shown as it is so far.

Each line is looked at once and each block is rendered a bounded number of times, so that a reply costs as much as it is
long. A block has ended when no later line can change it: a paragraph at a blank line, a fence at its like, an item of
a list at the next, a row of a table with its line. Items and rows join what is shown already.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_hoster.chat.markdown import render_markdown
from llm_hoster.chat.maths import CLOSING, LENGTH_LIMIT
from llm_hoster.chat.open_block import (
    DELIMITER,
    FENCE,
    INDENTED,
    ITEM,
    UNDERLINE,
    OpenBlock,
    block_of,
    interrupts,
    is_whole,
    join,
    with_parts_shown,
)

# The unfinished block is rendered anew when it has grown by so many characters, and by an eighth of itself.
STEP = 32


@dataclass(frozen=True)
class Growth:
    """
    What changes for a reader: what was unfinished goes, `parts` join the list or table that is shown last, `html`
    comes behind it, and then what is unfinished now, with white space that HTML would not keep.

    `length` is how many characters have been finished, `block` what the next one belongs to.
    """

    parts: str
    html: str
    tail: str
    rest: str
    length: int
    block: OpenBlock


class GrowingProse:
    """For one thread."""

    def __init__(self) -> None:
        self._block = OpenBlock()
        self._pending = ""
        self._read = 0  # So much of it are lines that were looked at.
        self._tail_length = 0  # So long was it when it was rendered last.
        # What has been finished since the last growth.
        self._parts = ""
        self._html = ""
        self._length = 0

    def add(self, text: str) -> Growth | None:
        """Take more text; None where the reader may simply put it behind what is shown."""
        self._pending += text
        while (newline := self._pending.find("\n", self._read)) >= 0:
            self._take_line(self._pending[self._read : newline], self._read, newline + 1)
        if not self._length and not self._is_tail_stale():
            return None
        tail, rest = self._block.render_unfinished(self._pending)
        if not self._length and not tail:
            return None
        self._tail_length = len(self._pending) if tail else 0
        growth = Growth(self._parts, self._html, tail, rest, self._length, self._block)
        self._parts, self._html, self._length = "", "", 0
        return growth

    def _is_tail_stale(self) -> bool:
        if not self._tail_length:
            return True
        grown = len(self._pending) - self._tail_length
        return self._block.kind != "code" and grown >= max(STEP, len(self._pending) // 8)

    def _take_line(self, line: str, start: int, end: int) -> None:
        """Look at a whole line, `start` to `end` of what is pending. One that ends a block before it is read again."""
        self._read = end
        take = {
            "code": self._take_code,
            "maths": self._take_formula,
            "list": self._take_item,
            "table": self._take_row,
            "indented": self._take_indented,
        }.get(self._block.kind, self._take_text)
        take(line, start, end)

    def _take_text(self, line: str, start: int, end: int) -> None:
        before = self._pending[:start]
        if not line.strip() or (before and UNDERLINE.match(line) and "|" not in before):
            return self._finish(end)
        if DELIMITER.match(line) and self._begin_table(before, end):
            return None
        begun = block_of(line, before)
        if begun.kind != "text":
            self._begin(begun, start)
            self._read = end - start
        elif is_whole(line) or (before and UNDERLINE.match(line)):
            self._finish(end)
        return None

    def _take_code(self, line: str, start: int, end: int) -> None:
        mark = line.strip()
        if mark.startswith(self._block.mark) and not mark.strip(mark[0]) and not INDENTED.match(line):
            self._finish(end)

    def _take_formula(self, line: str, start: int, end: int) -> None:
        if not line.strip() or line.rstrip().endswith(CLOSING[self._block.mark]):
            self._finish(end)
        elif end > LENGTH_LIMIT:
            self._block = OpenBlock()

    def _take_indented(self, line: str, start: int, end: int) -> None:
        if line.strip() and not INDENTED.match(line):
            self._finish(start)

    def _take_item(self, line: str, start: int, end: int) -> None:
        indent = len(line) - len(line.lstrip(" "))
        if not line.strip() or indent >= self._block.offset or line.startswith("\t"):
            return
        item = ITEM.match(line)
        if item is not None and item[2][-1] == self._block.mark and not is_whole(line):
            self._finish_part(start)
            self._block = with_parts_shown(block_of(line, ""))
            self._read = end - start
            return
        previous = self._pending[self._pending.rfind("\n", 0, start - 1) + 1 : start]
        if not previous.strip() or FENCE.match(previous.lstrip()) or interrupts(line):
            self._finish(start)

    def _begin_table(self, before: str, end: int) -> bool:
        """See whether the line before is the head of a table, and this one its second."""
        head_start = before.rfind("\n", 0, -1) + 1
        head = self._pending[head_start:end]
        if "|" not in before[head_start:] or "<table>" not in render_markdown(head):
            return False
        self._begin(OpenBlock("table", head=head), head_start)
        self._read = len(head)
        return True

    def _take_row(self, line: str, start: int, end: int) -> None:
        if not line.strip() or interrupts(line):
            return self._finish(start)
        self._finish_part(end)
        self._block = with_parts_shown(self._block)
        return None

    def _begin(self, block: OpenBlock, start: int) -> None:
        if start:
            self._finish(start)
        self._block = block
        self._tail_length = 0

    def _finish_part(self, end: int) -> None:
        html = self._block.render(self._pending[:end])
        if not self._block.joins:
            self._html += html
        elif self._html:
            self._html = join(self._html, html)
        else:
            self._parts = join(self._parts, html)
        self._pending = self._pending[end:]
        self._length += end
        self._read = 0

    def _finish(self, end: int) -> None:
        """Finish what is pending up to there, and with it the block."""
        if self._pending[:end].strip():
            self._finish_part(end)
        else:
            self._pending = self._pending[end:]
            self._length += end
            self._read = 0
        self._block = OpenBlock()

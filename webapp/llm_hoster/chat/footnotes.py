"""
Footnotes as raised numbers, where they stand: no links within the page, which would need ids, and nothing moves.

`[^1]` in a text, and a line that begins with `[^1]:`.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

MARK = re.compile(r"\[\^([^\]\s\[^]{1,40})\]")


def add_footnotes(parser: MarkdownIt) -> None:
    parser.inline.ruler.before("link", "footnote", _find_mark)
    parser.block.ruler.before("reference", "footnote_text", _find_text, {"alt": ["paragraph"]})


def _find_mark(state: StateInline, silent: bool) -> bool:
    found = MARK.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("sup_open", "sup", 1)
        state.push("text", "", 0).content = found[1]
        state.push("sup_close", "sup", -1)
    state.pos = found.end()
    return True


def _find_text(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A line of its own; a reference would swallow it."""
    start, end = state.bMarks[first] + state.tShift[first], state.eMarks[first]
    found = MARK.match(state.src, start, end)
    if found is None or state.src[found.end() : found.end() + 1] != ":" or state.is_code_block(first):
        return False
    if silent:
        return True
    state.line = first + 1
    state.push("paragraph_open", "p", 1).map = [first, state.line]
    inline = state.push("inline", "", 0)
    inline.content = found[0] + " " + state.src[found.end() + 1 : end].strip()
    inline.map = [first, state.line]
    inline.children = []
    state.push("paragraph_close", "p", -1)
    return True

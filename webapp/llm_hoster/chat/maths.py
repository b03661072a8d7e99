r"""
Formulas between $…$, $$…$$, \(…\) and \[…\].

They are found here and kept as their source, delimiters included; the browser draws them. A price is no formula: one
dollar opens before neither space nor word's end, and closes behind no space and before no letter or digit.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererProtocol
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

CLASSES = frozenset({"math", "math math-display"})
# No formula is as long; and the search for an end costs no more, however often one begins.
LENGTH_LIMIT = 4000
CLOSING = {"$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$"}
DISPLAYED = ("$$", "\\[")
UNESCAPED_DOLLAR = re.compile(r"(?<!\\)(?:\\\\)*\$")
# An amount and words behind it, and nothing that a formula would have.
MONEY = re.compile(r"\d[^\\^_{}=]*[A-Za-z]{2}[^\\^_{}=]*")


def add_maths(parser: MarkdownIt) -> None:
    parser.inline.ruler.before("escape", "maths", _find_in_line)
    parser.block.ruler.before(
        "fence", "maths_block", _find_block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    parser.add_render_rule("maths", _render)
    parser.add_render_rule("maths_block", _render_block)


def _find_in_line(state: StateInline, silent: bool) -> bool:
    source, start = state.src, state.pos
    opening = next((each for each in CLOSING if source.startswith(each, start)), None)
    if opening is None:
        return False
    end = _end_of_dollars(source, start) if opening == "$" else _end_of(source, start, opening)
    if end is None or not source[start + len(opening) : end - len(opening)].strip():
        return False
    if not silent:
        token = state.push("maths", "span", 0)
        token.content = source[start:end]
        token.markup = opening
    state.pos = end
    return True


def _end_of(source: str, start: int, opening: str) -> int | None:
    closing = CLOSING[opening]
    found = source.find(closing, start + len(opening), start + LENGTH_LIMIT)
    return None if found < 0 else found + len(closing)


def _end_of_dollars(source: str, start: int) -> int | None:
    before, after = source[max(0, start - 1) : start], source[start + 1 : start + 2]
    if before.isalnum() or before == "$" or not after.strip():
        return None
    found = UNESCAPED_DOLLAR.search(source, start + 1, start + LENGTH_LIMIT)
    if found is None:
        return None
    end = found.end()
    if source[end - 2].isspace() or source[end : end + 1].isalnum() or source[end : end + 1] == "$":
        return None
    return None if MONEY.fullmatch(source[start + 1 : end - 1]) else end


def _find_block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """Lines from one that begins with $$ or \\[ to one that ends with its like, without a blank line."""
    if state.is_code_block(first):
        return False
    text = _line(state, first)
    opening = text[:2]
    if opening not in DISPLAYED:
        return False
    lines, line, length = [text], first, len(text)
    while not (text.endswith(CLOSING[opening]) and length > 4):
        line += 1
        if line >= last or state.sCount[line] < state.blkIndent or length > LENGTH_LIMIT:
            return False
        text = _line(state, line)
        if not text or text.startswith("\\["):
            return False
        lines.append(text)
        length += len(text)
    content = "\n".join(lines)
    if CLOSING[opening] in content[2:-2] or not content[2:-2].strip():
        return False
    if not silent:
        state.line = line + 1
        token = state.push("maths_block", "div", 0)
        token.block = True
        token.content = content
        token.markup = opening
        token.map = [first, state.line]
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()


def _render(self: RendererProtocol, tokens: list[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    name = "math math-display" if tokens[index].markup in DISPLAYED else "math"
    return f'<span class="{name}">{escapeHtml(tokens[index].content)}</span>'


def _render_block(self: RendererProtocol, tokens: list[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return f"<p>{_render(self, tokens, index, options, env)}</p>\n"

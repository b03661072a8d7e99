"""The block at the end of a growing text: what it is, which line ends it, and how it is shown meanwhile."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from llm_hoster.chat.code_block import code_block
from llm_hoster.chat.markdown import in_order, render_markdown
from llm_hoster.chat.maths import CLOSING, DISPLAYED

Kind = Literal["text", "indented", "code", "maths", "list", "table"]

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
ITEM = re.compile(r"( {0,3})([-*+]|(\d{1,9})[.)])(?:( {1,4})(?=\S)|[ \t]|$)")
BREAK = re.compile(r" {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$")
UNDERLINE = re.compile(r" {0,3}(?:-+|=+)[ \t]*$")
HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
QUOTE = re.compile(r" {0,3}>")
INDENTED = re.compile(r"(?: {4}| {0,3}\t)")
DELIMITER = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
# A line that is only begun, of which nobody can say yet what it will be.
UNDECIDED = re.compile(r"[\s>|=_~`$:\\*+#-]*|\s*\d{1,9}[.)]\s*|\s*(?:```|~~~).*")
# How the first item or row begins, and what is behind the last.
ENDS = [("<tbody>\n", "</tbody>\n</table></div>\n"), ("<ul>\n", "</ul>\n"), (">\n", "</ol>\n")]
ROW = re.compile(r" {0,3}\|.*")


@dataclass(frozen=True)
class OpenBlock:
    """
    `mark` is the fence of a code block, the opening of a formula, or the last character of a list's markers.

    `offset` is where the text of a list's item begins, `head` the first two lines of a table. `joins` says that the
    list or table has shown items or rows already, to which the next ones belong.
    """

    kind: Kind = "text"
    mark: str = ""
    offset: int = 0
    head: str = ""
    joins: bool = False

    def render(self, text: str) -> str:
        """Render a finished part: one block, an item of a list, or a row of a table."""
        return render_markdown(self.head + text if self.joins else text)

    def render_unfinished(self, text: str) -> tuple[str, str]:
        """Render what is there so far; the second is white space at its end, which HTML would not keep."""
        text = in_order(text)
        if self.kind == "code":
            first, _, code = text.partition("\n")
            fence = FENCE.match(first)
            return code_block(code, fence[2] if fence else ""), ""
        shown = text.rstrip()
        line = shown[shown.rfind("\n") + 1 :]
        if UNDECIDED.fullmatch(line) or (self.kind == "text" and ROW.fullmatch(line)):
            shown = shown[: len(shown) - len(line)].rstrip()
        return (self.render(shown), text[len(shown) :]) if shown else ("", "")


def join(html: str, more: str) -> str:
    """Put items or rows into the list or table that ends the HTML; behind it, where they do not belong there."""
    for opening, closing in ENDS:
        if html.endswith(closing) and more.endswith(closing) and opening in more:
            return html[: -len(closing)] + more[more.index(opening) + len(opening) :]
    return html + more


def block_of(line: str, before: str) -> OpenBlock:
    """Say what a line begins, behind the text `before` it that is not finished yet."""
    fence = FENCE.match(line)
    if fence is not None and not (fence[1][0] == "`" and "`" in fence[2]):
        return OpenBlock("code", mark=fence[1])
    opening = line.strip()[:2]
    if opening in DISPLAYED and CLOSING[opening] not in line.strip()[2:]:
        return OpenBlock("maths", mark=opening)
    item = ITEM.match(line)
    if item is not None and (not before.strip() or item[3] in {None, "1"}):
        return OpenBlock("list", mark=item[2][-1], offset=len(item[1]) + len(item[2]) + len(item[4] or " "))
    if INDENTED.match(line) and not before.strip():
        return OpenBlock("indented")
    return OpenBlock()


def is_whole(line: str) -> bool:
    """Say whether a block is this one line, or ends with it."""
    formula = line.strip()
    is_formula = formula[:2] in DISPLAYED and len(formula) > 4 and formula.endswith(CLOSING[formula[:2]])
    return is_formula or HEADING.match(line) is not None or BREAK.match(line) is not None


def interrupts(line: str) -> bool:
    """Say whether a line ends a list or a table before it, without a blank line."""
    return is_whole(line) or QUOTE.match(line) is not None or block_of(line, "").kind not in {"text", "indented"}


def with_parts_shown(block: OpenBlock) -> OpenBlock:
    return replace(block, joins=True)

"""
Model output as HTML that cannot act.

markdown-it-py makes HTML from Markdown, with raw HTML turned off; nh3 (ammonia, a parser and not a filter of text) then
keeps only the tags and attributes named here. What htmx or our own modules act on (`hx-*`, `data-*`, `id`, `style`,
`class` but for a language) is never among them, and neither is anything that loads by itself.
"""

from __future__ import annotations

import re

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title", "target"}, "code": {"class"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}
LANGUAGE = re.compile(r"language-[A-Za-z0-9_+#.-]{1,40}")

_parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True}).enable(["table", "strikethrough"])
_parser.disable("image")


def _lower_headings(state: StateCore) -> None:
    """The page has its own first and second level: a reply's headings stand below them."""
    for token in state.tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"


_parser.core.ruler.push("lower_headings", _lower_headings)


def render_markdown(text: str) -> str:
    """Render text of a model; the result may be put into a page as it is."""
    return nh3.clean(
        _parser.render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_filter_attribute,
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "class":
        return value if tag == "code" and LANGUAGE.fullmatch(value) else None
    if name == "href":
        # A relative link would lead into this session's or the portal's own pages.
        return value if value.lower().startswith(("http://", "https://", "mailto:")) else None
    return value


def find_block_end(text: str, start: int) -> int:
    """
    Find where the finished blocks of a growing text end, from `start` on; `start` itself when none has ended.

    A block has ended at a blank line outside a code fence whose next line begins anew: not indented, and no list item,
    quote or table row, which may go on.
    """
    end, position, fence = start, start, ""
    previous_is_blank = False
    while position < len(text):
        newline = text.find("\n", position)
        line = text[position : newline if newline >= 0 else len(text)]
        if previous_is_blank and not fence and _begins_anew(line):
            end = position
        marker = _fence_of(line)
        if fence:
            if marker.startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif marker:
            fence = marker
        if newline < 0:
            break
        previous_is_blank = not line.strip() and not fence
        position = newline + 1
    return end


def _begins_anew(line: str) -> bool:
    return bool(line) and not re.match(r"\s|[-*+>|]|\d", line)


def _fence_of(line: str) -> str:
    match = re.match(r" {0,3}(`{3,}|~{3,})", line)
    return match[1] if match else ""

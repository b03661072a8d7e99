"""
Model output as HTML that cannot act.

markdown-it-py makes HTML from Markdown, with raw HTML turned off; nh3 (ammonia, a parser and not a filter of text) then
keeps only the tags, attributes and classes named here. What htmx or our own modules act on (`hx-*`, `data-*`, `id`,
`name`, `style`) is never among them, and neither is anything that loads by itself.
"""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from llm_hoster.chat import code_block, maths
from llm_hoster.chat.footnotes import add_footnotes
from llm_hoster.chat.links import add_links, leads_away

TAGS = {
    "a", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
# Under * would be what nh3 allows everywhere by itself.
ATTRIBUTES: dict[str, set[str]] = {"*": set(), "a": {"href", "title"}, "ol": {"start"}}
VALUES = {
    "code": {"class": set(code_block.CLASSES)},
    "div": {"class": {"code-block", "code-head", "table-box"}, "tabindex": {"0"}},
    "li": {"class": {"task"}},
    "pre": {"tabindex": {"0"}},
    "span": {"class": set(maths.CLASSES)},
    "td": {"class": {"center", "right"}},
    "th": {"class": {"center", "right"}},
}
# They turn the order of letters around, so that a reader sees another address or other code than there is.
REORDERING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}")
ALIGNMENT_CLASSES = {"text-align:right": "right", "text-align:center": "center"}
TASK_MARKS = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    return None if name == "href" and not leads_away(value) else value


_cleaner = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    tag_attribute_values=VALUES,
    attribute_filter=_filter_attribute,
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
)


def _fit_blocks(state: StateCore) -> None:
    """
    Adapt tokens to our pages.

    Headings stand below the page's own two levels. The text of a list's item is always a paragraph, so that an item is
    the same whether its list has blank lines or not. What would be a style becomes a class, and a check box a sign.
    """
    for index, token in enumerate(state.tokens):
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        elif token.type in {"paragraph_open", "paragraph_close"}:
            token.hidden = False
        elif token.type in {"td_open", "th_open"} and "style" in token.attrs:
            token.attrs = {"class": ALIGNMENT_CLASSES.get(str(token.attrs["style"]), "")}
        elif token.type == "inline" and index > 1 and state.tokens[index - 2].type == "list_item_open":
            _mark_task(state.tokens[index - 2], token)


def _mark_task(item: Token, inline: Token) -> None:
    first = inline.children[0] if inline.children else None
    mark = TASK_MARKS.get(first.content[:4]) if first is not None and first.type == "text" else None
    if first is not None and mark is not None:
        first.content = mark + first.content[4:]
        item.attrs["class"] = "task"


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": True, "breaks": True})
    parser.enable(["table", "strikethrough", "linkify"])
    code_block.add_code_blocks(parser)
    maths.add_maths(parser)
    add_footnotes(parser)
    add_links(parser)
    parser.core.ruler.push("fit_blocks", _fit_blocks)
    parser.add_render_rule("table_open", lambda *_: '<div class="table-box" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


_parser = _make_parser()


def render_markdown(text: str) -> str:
    """Render text of a model; the result may be put into a page as it is."""
    return sanitise(parse_markdown(text))


def parse_markdown(text: str) -> str:
    html: str = _parser.render(in_order(text))
    return html


def in_order(text: str) -> str:
    """Show what turns the order of letters around: what a model says stays within its own words."""
    return text.translate(REORDERING)


def sanitise(html: str) -> str:
    return _cleaner.clean(html)

"""Links show where they lead; a picture becomes a link, since loading it would tell its host who reads, and when."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from linkify_it import LinkifyIt
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererProtocol
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

# Others act in the page, or on the reader's computer; and a relative one would lead into our or the portal's pages.
LEADING_AWAY = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)


def leads_away(url: str) -> bool:
    """Say whether this is the whole address of something outside."""
    try:
        return LEADING_AWAY.match(url) is not None and (url[:7].lower() == "mailto:" or bool(urlsplit(url).hostname))
    except ValueError:
        return False


def add_links(parser: MarkdownIt) -> None:
    """Addresses in the text become links where they begin as one: a name with a dot is none."""
    parser.linkify = LinkifyIt({}, {"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    parser.validateLink = leads_away  # type: ignore[method-assign]
    parser.add_render_rule("image", _render_image)
    parser.core.ruler.push("link_titles", _title_links)


def _title_links(state: StateCore) -> None:
    """The address itself, as the browser will ask for it, in the place of what the model calls it."""
    for block in state.tokens:
        depth = 0
        for token in block.children or ():
            if token.type == "link_open":
                token.attrs["title"] = token.attrGet("href") or ""
            depth += token.nesting if token.type in {"link_open", "link_close"} else 0
            if token.type == "image":
                token.meta["is_in_link"] = depth > 0


def _render_image(self: RendererProtocol, tokens: list[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    source = str(token.attrGet("src"))
    text = f"image: {token.content} ({urlsplit(source).hostname or source})"
    if token.meta["is_in_link"]:
        return escapeHtml(text)
    return f'<a href="{escapeHtml(source)}" title="{escapeHtml(source)}">{escapeHtml(text)}</a>'

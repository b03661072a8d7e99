"""The shown branch of a conversation as a Markdown file, in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from markdown_it import MarkdownIt

from llm_hoster.chat.message import Conversation, Message
from llm_hoster.language import gettext, translated

AFTER = "\n\n## After\n"
# Blocks alone: what stands in a line cannot reach beyond it.
_blocks = MarkdownIt("commonmark")
_blocks.core.ruler.enableOnly(["normalize", "block"])
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def markdown_of(conversation: Conversation, messages: Iterable[Message]) -> Iterator[str]:
    yield f"# {_line(conversation.title)}\n"
    for message in messages:
        yield from _message(message)


def _message(message: Message) -> Iterator[str]:
    if message.role == "user":
        yield f"\n## {gettext('You')}\n\n"
    else:
        yield f"\n## {_line(message.model) if message.model else gettext('The model')}\n\n"
    yield f"{_time(message.created_at)}\n\n"
    if message.attachments:
        names = (gettext("Attached: %(name)s", name=_line(attachment.name)) for attachment in message.attachments)
        yield "".join(f"- {name}\n" for name in names) + "\n"
    if message.reasoning:
        quoted = "\n".join(f"> {line}".rstrip() for line in message.reasoning.splitlines())
        yield f"> **{gettext('Thoughts')}**\n>\n{quoted}\n\n"
    if message.content:
        yield standing_alone(message.content).rstrip() + "\n"
    if message.sources:
        read = "".join(f"{number}. {_line(source.title)}\n" for number, source in enumerate(message.sources, 1))
        yield f"\n{gettext('Read of the attached files:')}\n\n{read}"
    for call in message.tool_calls:
        tool = gettext("Asked for the tool %(name)s:", name=_line(str(call.get("name", ""))))
        yield f"\n{tool}\n\n{fenced(str(call.get('arguments', '')))}\n"
    if message.failure:
        yield f"\n*{_line(translated(message.failure))}*\n"
    elif message.state in ("stopped", "running"):
        yield f"\n*{gettext('Stopped before its end')}.*\n"


def standing_alone(text: str) -> str:
    """Close a code block that the text leaves open; text that still takes what follows for its own becomes code."""
    tokens = _blocks.parse(text)
    if tokens and tokens[-1].type == "fence" and tokens[-1].level == 0:
        text = text if _ends(text) else f"{text}\n{tokens[-1].markup}"
    return text if _ends(text) else fenced(text)


def _ends(text: str) -> bool:
    after = _blocks.parse(text + AFTER)[-3:]
    return [token.type for token in after] == ["heading_open", "inline", "heading_close"] and after[0].level == 0


def fenced(text: str) -> str:
    """Put text into a code block whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _line(text: str) -> str:
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"

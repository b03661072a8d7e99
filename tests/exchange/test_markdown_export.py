"""The Markdown of a conversation, read again by a Markdown parser."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from markdown_it import MarkdownIt

from llm_hoster.chat.exchange.markdown_export import markdown_of, standing_alone
from llm_hoster.chat.message import Conversation, Message

PIECES = [
    "```",
    "````",
    "~~~",
    "``` a`b",
    "  ```",
    "    code",
    "- ",
    "> ",
    "<!--",
    "<pre>",
    "<details>",
    "|a|",
    "x",
    "",
    "# H",
]


def exported(*messages: Message, title: str = "A title") -> str:
    return "".join(markdown_of(Conversation("c", title, 0.0, 0.0, "owner"), messages))


def headings(text: str) -> list[str]:
    tokens = MarkdownIt("commonmark").parse(text)
    found = [index for index, token in enumerate(tokens) if token.type == "heading_open" and token.level == 0]
    return [tokens[index + 1].content for index in found]


def test_roles_are_headings_with_times_thoughts_are_quoted_and_facts_told() -> None:
    answer = Message(
        "c", "assistant", "Yes.", reasoning="Is it?\n```\nopen", model="tiny", created_at=60.0, state="stopped",
        tool_calls=[{"name": "search", "arguments": '{"a": "```"}'}],
    )  # fmt: skip
    text = exported(
        Message("c", "user", "Is it?", created_at=0.0), answer, Message("c", "assistant", failure="It broke.")
    )

    assert headings(text) == ["A title", "You", "tiny", "The model"]
    assert "\n## You\n\n1970-01-01 00:00 UTC\n\nIs it?\n" in text
    assert "> **Thoughts**\n>\n> Is it?\n> ```\n> open\n\nYes.\n" in text
    assert '````\n{"a": "```"}\n````' in text
    assert "*Stopped before its end.*" in text and "*It broke.*" in text


def test_a_title_is_text() -> None:
    text = exported(title="<script>*a*\n# b](x) `c` & d")
    (heading,) = headings(text)
    assert MarkdownIt("commonmark").render(text).startswith("<h1>&lt;script&gt;*a* # b](x) `c` &amp; d</h1>")
    assert "\n" not in heading


@pytest.mark.parametrize(
    "content", ["```py\nx = 1", "````\n```\nx", "~~~\n```", "- a\n  ```\n  x", "<!-- x", "<pre>\nx"]
)
def test_what_a_message_leaves_open_ends_with_it(content: str) -> None:
    text = exported(Message("c", "assistant", content), Message("c", "user", "After"))
    assert headings(text) == ["A title", "The model", "You"]


@settings(max_examples=300, deadline=None)
@given(lines=some.lists(some.lists(some.sampled_from(PIECES), max_size=3).map("".join), max_size=7))
def test_no_text_takes_what_follows_it(lines: list[str]) -> None:
    after = MarkdownIt("commonmark").parse(standing_alone("\n".join(lines)) + "\n\n## After\n")[-3:]
    assert after[0].type == "heading_open" and after[0].level == 0 and after[1].content == "After"


def test_text_that_is_closed_stays_as_it_is() -> None:
    text = "A\n\n```py\nx = '<!--'\n```\n\n- b\n  - c <b>bold</b>"
    assert standing_alone(text) == text

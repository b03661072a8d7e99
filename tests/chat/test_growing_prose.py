"""Prose that grows ends up as the same HTML as the whole text, whatever its pieces, and costs as much as it is long."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from llm_hoster.chat.growing_prose import GrowingProse, Growth
from llm_hoster.chat.markdown import render_markdown
from llm_hoster.chat.open_block import join

TEXTS = {
    "paragraphs": "One\nlazy.\n\n\n\nTwo **bold\ntext**.\n\n    code\n\n    more\n\nThree",
    "headings": "# A\ntext\n## B\n\nTitle\n---\nUnder\n===\n***\n\n- - -\nend",
    "tight list": "Here:\n- a\n- b\nlazy\n- c\n\nText.\n1. x\n2. y\n3. z\n* star\n- dash\n***\nend",
    "loose list": "- a\n\n- b\n  - c\n\n  d\n\ntext\n\n10. x\n11. y\n    more\n\n    paragraph\n12. z\n",
    "code in a list": "1. Do\n\n   ```py\n   a\n\n   b\n   ```\n2. Then\n   ~~~\n   c\n   ~~~\nend\n",
    "code": "Text\n```python\nx\n\n``` y\n- no list\n```\nafter\n~~~\n```\n~~~\n````md\n```\n````\n```open\n\nmore",
    "table": "a | b\nlazy | x\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n| *3* | `4` |\n| 5\n# H\n",
    "no table": "no | table\n--|--|--\n\na|b\n-|-\n",
    "quote": "> a\n> - b\nlazy\n\n> c\n>\n> ```\n> d\n> ```\nend\n- x\n> y\n",
    "formulas": "x\n$$\na\n- b\n$$\ny\n\n$$ a $$\n\\[\nx\n\\]\n\n\\[ open\n\ntext $a\nb$\n",
    "tasks and notes": "- [ ] a\n- [x] b\n\nNote[^1].\n\n[^1]: One\n[^2]: Two\n",
}


def growths(text: str, lengths: Iterator[int]) -> Iterator[Growth]:
    prose, start = GrowingProse(), 0
    while start < len(text):
        length = next(lengths)
        growth = prose.add(text[start : start + length])
        start += length
        if growth is not None:
            yield growth


def lengths(kind: str) -> Iterator[int]:
    chance = random.Random(4)
    while True:
        yield {"letters": 1, "tokens": chance.randint(1, 8), "whole": 100_000}[kind]


@pytest.mark.parametrize("pieces", ["letters", "tokens", "whole"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_pieces_make_the_same_html_as_the_whole(text: str, pieces: str) -> None:
    html, length, block = "", 0, None
    for growth in growths(text, lengths(pieces)):
        html = join(html, growth.parts) + growth.html
        length += growth.length
        block = growth.block
    rest = text[length:]
    if rest.strip() and block is not None:
        html = join(html, block.render(rest)) if block.joins else html + block.render(rest)

    assert html == render_markdown(text)


def test_what_is_unfinished_is_shown_as_what_it_will_be() -> None:
    prose = GrowingProse()

    assert prose.add("**") is None
    growth = prose.add("a")
    assert growth is not None
    assert (growth.html, growth.tail, growth.rest) == ("", "<p>**a</p>\n", "")
    growth = prose.add("** b c\n\n```py\nx = 1\n")
    assert growth is not None
    assert growth.html == "<p><strong>a</strong> b c</p>\n"
    assert growth.tail.endswith('<pre tabindex="0"><code class="language-python">x = 1\n</code></pre></div>\n')


def test_growing_code_is_only_put_behind() -> None:
    prose = GrowingProse()
    assert prose.add("```py\n") is not None

    assert [prose.add(f"line {number}\n") for number in range(500)] == [None] * 500
    growth = prose.add("```\n")
    assert growth is not None
    assert "line 499" in growth.html


@pytest.mark.parametrize(("opening", "line"), [
    ("", "- an item with some *words*\n"),
    ("| a | b |\n|---|---|\n", "| some words | and more |\n"),
    ("", "A paragraph of `some` words.\n\n"),
    ("", "word and word and word and word "),
    ("```\n", "code\n\n"),
    ("> ", "quote and more "),
])  # fmt: skip
def test_four_times_the_text_makes_four_times_the_html(opening: str, line: str) -> None:
    def rendered(times: int) -> int:
        return sum(
            len(growth.parts) + len(growth.html) + len(growth.tail)
            for growth in growths(opening + line * times, lengths("tokens"))
        )

    assert rendered(800) < 5 * rendered(200) + 2000


@pytest.mark.parametrize("text", ["```sh\nrm \u202ex", "a\u202bb"])
def test_what_turns_letters_around_is_shown_in_an_unfinished_block_too(text: str) -> None:
    growth = GrowingProse().add(text)

    assert growth is not None
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", f"{growth.html}{growth.tail}{growth.rest}")

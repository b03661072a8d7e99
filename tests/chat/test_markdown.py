"""What models write, as it is shown."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from llm_hoster.chat.links import leads_away
from llm_hoster.chat.markdown import render_markdown

LINK = '<a href="{0}" title="{0}" target="_blank" rel="noopener noreferrer nofollow">{1}</a>'


def code(title: str, attribute: str, text: str) -> str:
    return (
        f'<div class="code-block"><div class="code-head">{title}</div>'
        f'<pre tabindex="0"><code{attribute}>{text}</code></pre></div>\n'
    )


@pytest.mark.parametrize(("text", "html"), [
    ("**a** *b* ~~c~~ `d`", "<p><strong>a</strong> <em>b</em> <s>c</s> <code>d</code></p>\n"),
    ("# Title", "<h3>Title</h3>\n"),
    ("a\nb", "<p>a<br>\nb</p>\n"),
    ("3. x", '<ol start="3">\n<li>\n<p>x</p>\n</li>\n</ol>\n'),
    ("- a\n  1. b", "<ul>\n<li>\n<p>a</p>\n<ol>\n<li>\n<p>b</p>\n</li>\n</ol>\n</li>\n</ul>\n"),
    ("- [ ] a\n- [x] b",
     '<ul>\n<li class="task">\n<p>☐ a</p>\n</li>\n<li class="task">\n<p>☑ b</p>\n</li>\n</ul>\n'),
    ("```py\nx<1\n```", code("Python", ' class="language-python"', "x&lt;1\n")),
    ("```Fortran\n```", code("Fortran", ' class="language-fortran"', "")),
    ("```brainf<b>\n+\n```", code("brainf&lt;b&gt;", "", "+\n")),
    ("```mermaid\ngraph\n```", code("Mermaid", "", "graph\n")),
    ("    x", code("", "", "x\n")),
    ("a[^1]\n\n[^1]: Note", "<p>a<sup>1</sup></p>\n<p><sup>1</sup> Note</p>\n"),
    ("\u202eabc\u2066", "<p>\ufffdabc\ufffd</p>\n"),
])  # fmt: skip
def test_what_models_write_is_rendered(text: str, html: str) -> None:
    assert render_markdown(text) == html


def test_a_table_scrolls_in_a_box_of_its_own_and_keeps_its_alignment() -> None:
    html = render_markdown("| a | b | c |\n|---|--:|:-:|\n| 1 | 2 | 3 |")

    assert html.startswith('<div class="table-box" tabindex="0"><table>\n<thead>')
    assert '<td>1</td>\n<td class="right">2</td>\n<td class="center">3</td>' in html


@pytest.mark.parametrize(("text", "shown"), [
    ("[a](https://e.org 'harmless')", LINK.format("https://e.org", "a")),
    ("see https://e.org/x.", "see " + LINK.format("https://e.org/x", "https://e.org/x") + "."),
    ("https://ex\u0430mple.org", LINK.format("https://xn--exmple-4nf.org", "https://ex\u0430mple.org")),
    ("[a](mailto:a@b.org)", LINK.format("mailto:a@b.org", "a")),
    ("![a plot](https://e.org/x.png)", LINK.format("https://e.org/x.png", "image: a plot (e.org)")),
    ("[![a](https://e.org/x.png)](https://f.org)", LINK.format("https://f.org", "image: a (e.org)")),
    ("[out](/logout)", "[out](/logout)"),
    ("![a](static/icon.svg)", "![a](static/icon.svg)"),
    ("e.org, a@b.org and ftp://e.org", "e.org, a@b.org and ftp://e.org"),
])  # fmt: skip
def test_a_link_says_where_it_leads_and_nothing_relative_is_one(text: str, shown: str) -> None:
    assert render_markdown(text) == f"<p>{shown}</p>\n"


@pytest.mark.parametrize("address", [
    "https://", "https:///x", "https://[::1", "http:e.org", "//e.org", "/logout", "javascript:alert(1)", " https://e.org",
])  # fmt: skip
def test_what_names_no_host_leads_nowhere(address: str) -> None:
    assert not leads_away(address)


@pytest.mark.parametrize(("text", "formulas"), [
    ("$x$ and ($y_1$), $\\$5$.", ["$x$", "$y_1$", "$\\$5$"]),
    ("\\(a\\) \\[b\\] $$c$$", ["\\(a\\)", "\\[b\\]", "$$c$$"]),
    ("$$\na\n- b\n$$", ["$$\na\n- b\n$$"]),
    ("\\[\nx &amp; y\n\\]", ["\\[\nx &amp;amp; y\n\\]"]),
    ("- a\n  $$\n  b\n  $$", ["$$\nb\n$$"]),
    ("| $a$ |\n|---|\n| $b|c$ |", ["$a$"]),
    ("It costs $5 and $10, or US$5 to US$6, $5/month, $5-$10, $1.5 million or 2$.", []),
    ("$HOME:$PATH, $ x$, $x $, $$ $$, \\$x$", []),
    ("`$x$`", []),
    ("$$a\n\nb$$", []),
    ("$" + "x" * 5000 + "$ \\(" + "x" * 5000 + "\\)", []),
])  # fmt: skip
def test_formulas_are_found_and_prices_are_none(text: str, formulas: list[str]) -> None:
    html = render_markdown(text)

    assert [
        part.split("</span>")[0] for part in re.split(r'<span class="math(?: math-display)?">', html)[1:]
    ] == formulas


@pytest.mark.parametrize("begin", [
    "$a ", "$$ ", "\\( ", "\\[ ", "\\[\n", "$$\n", "$1 a", "[^a", "[^a]: x\n", "https://a.b/(x ", "![a](", "- [ ] a\n",
])  # fmt: skip
def test_what_begins_again_and_again_costs_no_more_than_its_length(begin: str) -> None:
    """Counted in lines of our own rules, which look for an end: four times the text, at most six times the lines."""
    assert lines_run(begin * (4_000 // len(begin))) < 6 * lines_run(begin * (1_000 // len(begin))) + 1000


def lines_run(text: str) -> int:
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if Path(frame.f_code.co_filename).parent.name == "chat" else None

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        render_markdown(text)
    finally:
        sys.settrace(previous)
    return count

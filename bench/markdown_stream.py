"""
What a browser does while Markdown streams in: a paced engine, our web app under gunicorn, and real Chromium.

Beside each reply in the chat the same text comes as plain text into a bare page, through the same gateway. CPU is that
of all the browser's processes, by the kernel's clocks. Long tasks are those of the page's main thread that compute for
more than 50 ms: in Chromium's own trace, since what others do on the machine makes every task long.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bench.chat_page import Chat, our_chat
from bench.paced_engine import Handler, Server
from bench.process_cost import cpu_s, tree
from bench.proxies import Place, gateway
from portal.chromium import CHROMIUM, FLAGS

SAMPLE = Path(__file__).with_name("markdown_sample.md").read_text()
# About what a tokenizer makes of Markdown: 4 letters on average.
TOKEN = re.compile(r"\s?\w{1,6}|\s+|[^\w\s]{1,3}")
LONG_TASK_S = 0.05
KINDS = {
    "mixed": SAMPLE,
    "code": "```python\n" + "".join(f"value_{line} = compute(value_{line - 1}, {line})\n" for line in range(1, 2000)),
    "list": "".join(f"{line}. The **item** number {line} says `something` of note.\n" for line in range(1, 2000)),
    "table": "| n | what | where |\n|---:|---|---|\n"
    + "".join(f"| {line} | row {line} | the *same* place |\n" for line in range(1, 2000)),
}
WATCH_END = """
new MutationObserver(() => {
  if (document.querySelector(%r)) window.doneAtMs ??= performance.now();
}).observe(document, { childList: true, subtree: true });
addEventListener("keydown", () => { window.beganAtMs = performance.now(); }, true);
"""
PLAIN = """
async ({ question, key }) => {
  document.body.textContent = "";
  const text = document.body.appendChild(document.createTextNode(""));
  document.body.style.whiteSpace = "pre-wrap";
  const headers = { "Content-Type": "application/json", Authorization: "Bearer " + key };
  const body = JSON.stringify({ model: "tiny", stream: true, messages: [{ role: "user", content: question }] });
  const answer = await fetch("/v1/chat/completions", { method: "POST", headers, body });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (pending + value).split("\\n\\n");
    pending = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: {")) text.appendData(JSON.parse(line.slice(6)).choices[0]?.delta.content ?? "");
    }
    scrollTo(0, document.body.scrollHeight);
  }
}
"""


class SampleHandler(Handler):
    """The question says which text, how long and how fast."""

    def words(self, question: bytes) -> list[str]:
        try:
            wanted = json.loads(json.loads(question)["messages"][-1]["content"])
        except ValueError:
            return super().words(question)  # Asked to see whether it answers.
        self.token_s = 1 / wanted["tokens_per_s"]
        return list(itertools.islice(tokens_of(wanted["kind"]), wanted["tokens"]))


def tokens_of(kind: str) -> Iterator[str]:
    for _ in itertools.count():
        yield from TOKEN.findall(KINDS[kind])


@dataclass(frozen=True)
class Measured:
    done_s: float
    browser_cpu_s: float
    long_tasks_share: float


class Bench:
    """One browser and one web app; each measurement has a page of its own."""

    def __init__(self, browser: Browser, url: str, place: Place) -> None:
        self._browser = browser
        self._url = url
        self._place = place

    def chat(self, question: dict[str, Any], chat: Chat | None = None) -> Measured:
        """Ask in our own page, or in that of others."""
        chat = chat or our_chat(self._url, self._place.secret)
        with self._context() as context:
            context.add_init_script(WATCH_END % chat.done)
            chat.log_in(context)
            page = context.new_page()
            page.goto(chat.url)
            page.locator(chat.ready).first.wait_for(state="attached")
            page.locator(chat.box).fill(json.dumps(question))

            def ask() -> None:
                page.locator(chat.box).press("Enter")
                page.locator(chat.done).first.wait_for(state="attached", timeout=300_000)

            measured = measure(self._browser, page, ask)
            return replace(measured, done_s=page.evaluate("window.doneAtMs - window.beganAtMs") / 1000)

    def plain(self, question: dict[str, Any]) -> Measured:
        with self._context() as context:
            page = context.new_page()
            page.goto("/login")
            arguments = {"question": json.dumps(question), "key": self._place.api_key}
            return measure(self._browser, page, lambda: page.evaluate(PLAIN, arguments))

    def _context(self) -> BrowserContext:
        return self._browser.new_context(base_url=self._url, bypass_csp=True)


def measure(browser: Browser, page: Page, work: Callable[[], object]) -> Measured:
    page.wait_for_timeout(500)
    browser.start_tracing(page=page, categories=["toplevel"])
    used_s = browser_cpu_s()
    began_ms = page.evaluate("performance.now()")
    work()
    done_s = (page.evaluate("performance.now()") - began_ms) / 1000
    page.wait_for_timeout(500)  # Colours and formulas of the last block belong to it.
    used_s = browser_cpu_s() - used_s
    return Measured(done_s, used_s, sum(long_tasks_s(json.loads(browser.stop_tracing()))) / done_s)


def long_tasks_s(trace: dict[str, Any]) -> Iterator[float]:
    """Give the seconds that each long task of a page's main thread has computed."""
    events = trace["traceEvents"]
    named = [event for event in events if event["name"] == "thread_name"]
    main = {(event["pid"], event["tid"]) for event in named if event["args"]["name"] == "CrRendererMain"}
    for event in events:
        if event["name"].endswith("RunTask") and (event["pid"], event["tid"]) in main:
            seconds = event.get("tdur", 0) / 1e6
            if seconds > LONG_TASK_S:
                yield seconds


def browser_cpu_s() -> float:
    programs = [pid for pid in tree(os.getpid()) if "chrom" in Path(f"/proc/{pid}/comm").read_text()]
    return cpu_s(programs)


@click.command()
@click.option("--kind", "kinds", type=click.Choice(list(KINDS)), multiple=True, default=("mixed",), show_default=True)
@click.option("--tokens", default=2000, show_default=True)
@click.option("--tokens-per-s", default=50, show_default=True)
@click.option("--plain/--no-plain", default=True, show_default=True, help="The bare page beside it.")
def main(kinds: tuple[str, ...], tokens: int, tokens_per_s: int, plain: bool) -> None:
    """Measure how long a reply takes to be done, the browser's CPU for it, and the share of long tasks."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        place = Place(socket_path=Path(name) / "engine.sock", port=0, folder=Path(name))
        with Server(str(place.socket_path), SampleHandler) as engine:
            threading.Thread(target=engine.serve_forever, daemon=True).start()
            with gateway(place) as app, sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
                bench = Bench(browser, f"http://127.0.0.1:{app.address}", place)
                result: dict[str, float] = {}
                for kind in kinds:
                    question = {"kind": kind, "tokens": tokens, "tokens_per_s": tokens_per_s}
                    for way in [bench.chat, bench.plain] if plain else [bench.chat]:
                        measured = way(question)
                        click.echo(f"{kind:6} {way.__name__:6} {measured}", err=True)
                        names = {f"{kind}_{way.__name__}_{key}": value for key, value in vars(measured).items()}
                        result |= names
                browser.close()
            engine.shutdown()
    click.echo(json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    main()

"""How a chat page is measured from outside, whoever has made it: in real Chromium, by what is in the document."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

READY_TIMEOUT_S = 60.0
POLL_MS = 100.0
# From the start of the navigation to the end of the first frame in which somebody can write and send.
WATCH_READY = """
const look = () => {
  if (!document.querySelector(%r)) requestAnimationFrame(look);
  else requestAnimationFrame(() => setTimeout(() => { window.readyMs = performance.now(); }));
};
look();
"""
NEXT_FRAME = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
# From the key's event to the first text of a reply in the document.
STOPWATCH = """
(reply) => {
  let began;
  const known = document.querySelectorAll(reply).length;
  window.firstTokenMs = null;
  document.addEventListener("keydown", (event) => { if (event.key === "Enter") began ??= performance.now(); }, true);
  const watcher = new MutationObserver(() => {
    const places = [...document.querySelectorAll(reply)].slice(known);
    if (!places.some((place) => place.textContent.trim())) return;
    window.firstTokenMs = performance.now() - began;
    watcher.disconnect();
  });
  watcher.observe(document.body, { childList: true, subtree: true, characterData: true });
}
"""


@dataclass(frozen=True)
class Chat:
    """`ready`, `box`, `reply` and `done` are selectors; `done` is in the page when a reply has ended."""

    name: str
    url: str
    ready: str
    box: str
    reply: str
    done: str
    log_in: Callable[[BrowserContext], object] = lambda context: None


def our_chat(url: str, password: str) -> Chat:
    return Chat(
        name="ours",
        url=url,
        ready="html.with-script #message",
        box="#message",
        reply=".message-assistant .prose",
        done=".message-foot",
        log_in=lambda context: context.request.post(f"{url}/login", form={"password": password}),
    )


@dataclass(frozen=True)
class Cold:
    """A first visit, with nothing in the browser's cache."""

    requests: int
    foreign_requests: int
    kb: float
    # As somebody lives it: from asking for the address until a letter they typed is in the box and on the screen.
    interactive_ms: float
    # By the page's own clock, which starts later: until the end of the first frame in which they could write.
    ready_ms: float


class PageBench:
    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def cold(self, chat: Chat, path: str = "/") -> Cold:
        context = self._context(chat)
        context.add_init_script(WATCH_READY % chat.ready)
        page = context.new_page()
        asked: list[str] = []
        lengths: list[float] = []
        network = context.new_cdp_session(page)
        network.on("Network.requestWillBeSent", lambda event: asked.append(event["request"]["url"]))
        network.on("Network.loadingFinished", lambda event: lengths.append(event["encodedDataLength"]))
        network.send("Network.enable")
        began = time.perf_counter()
        page.goto(chat.url + path, wait_until="commit")
        page.locator(chat.ready).first.wait_for(state="attached")
        page.locator(chat.box).press_sequentially("a")
        page.evaluate(NEXT_FRAME)
        interactive_ms = (time.perf_counter() - began) * 1000
        ready = ready_ms(page)
        page.wait_for_load_state("networkidle")
        context.close()
        asked = [url for url in asked if not url.startswith(("data:", "blob:"))]
        foreign = [url for url in asked if urlsplit(url).netloc != urlsplit(chat.url).netloc]
        return Cold(len(asked), len(foreign), sum(lengths) / 1000, interactive_ms, ready)

    def first_token_ms(self, chat: Chat, question: str, rounds: int) -> list[float]:
        """Ask in one new chat after the other, from Enter to the first text of the reply."""
        context = self._context(chat)
        page = context.new_page()
        found = [self._ask(page, chat, question) for _ in range(rounds)]
        context.close()
        return found

    def _ask(self, page: Page, chat: Chat, question: str) -> float:
        page.goto(chat.url)
        page.locator(chat.ready).first.wait_for(state="attached")
        page.locator(chat.box).fill(question)
        page.evaluate(STOPWATCH, chat.reply)
        page.locator(chat.box).press("Enter")
        page.locator(chat.done).first.wait_for(state="attached")
        return float(page.evaluate("window.firstTokenMs"))

    def _context(self, chat: Chat) -> BrowserContext:
        context = self._browser.new_context()
        chat.log_in(context)
        return context


def ready_ms(page: Page) -> float:
    """Ask by the debugger: what polls within the page is evaluated there, which the page's policy forbids."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        page.wait_for_timeout(POLL_MS)
        found = page.evaluate("window.readyMs ?? null")
        if found is not None:
            return float(found)
    raise TimeoutError(f"{page.url} was not ready within {READY_TIMEOUT_S} s")


def median(visits: list[Cold], name: str) -> float:
    return float(statistics.median(getattr(visit, name) for visit in visits))

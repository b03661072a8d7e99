"""
What our part adds between Enter in the browser and the first token in the page.

The whole chain is real: Chromium, Apache as the portal, the session's pages, vLLM on CPU. Each round asks the same
question in a new chat through the page and directly at vLLM's socket, in turns, so that a slow moment of the machine
meets both; what is added is the difference of the two in one round.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from urllib.parse import urljoin

import click
from playwright.sync_api import Page, sync_playwright

from bench.report import percentile, print_report
from llm_hoster.engine.connection import EnginePool
from portal.demo_app import REPOSITORY
from portal.demo_site import DemoSite
from portal.smoke_steps import SESSIONS, SmokeSteps, runtime_folders

FOLDER = REPOSITORY / ".demo" / "bench"
QUESTION = "Say hello."
WARM_UP_ROUNDS = 3
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Runs in the page: from the key's event to the first text of a reply in the document.
STOPWATCH = """
() => new Promise((resolve) => {
  let began;
  document.addEventListener("keydown", (event) => { if (event.key === "Enter") began = performance.now(); }, true);
  const messages = document.getElementById("messages");
  const watcher = new MutationObserver(() => {
    const reply = messages.querySelector(".message-assistant");
    const places = reply ? [...reply.querySelectorAll(".reply-tail, .prose")] : [];
    if (places.some((place) => place.textContent.trim())) {
      window.firstTokenMs = performance.now() - began;
      watcher.disconnect();
    }
  });
  watcher.observe(messages, { childList: true, subtree: true, characterData: true });
  resolve();
})
"""


@click.command()
@click.option("--rounds", default=60, show_default=True, help="How many questions to ask each way.")
@click.option("--json", "only_json", is_flag=True, help="Print the last line alone.")
def first_token(rounds: int, only_json: bool) -> None:
    """Measure the time from Enter to the first token in the page, vLLM's own, and the difference, in ms."""
    before = runtime_folders()
    with DemoSite(FOLDER, fresh=True) as site:
        steps = SmokeSteps(site)
        for step in (steps.log_in, steps.open_form, steps.launch, steps.wait_for_card, steps.log_in_to_session):
            step()
        steps.wait_until_ready()
        (runtime_folder,) = runtime_folders() - before
        pool = EnginePool(Path(runtime_folder) / "vllm.sock")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
            credentials = {"username": site.user, "password": site.password}
            page = browser.new_context(http_credentials=credentials).new_page()  # type: ignore[arg-type]
            chat = connect(page, site.url)
            for _ in range(WARM_UP_ROUNDS):
                ask_in_page(chat, steps.chat_url)
                ask_directly(pool)
            pairs = [(ask_in_page(chat, steps.chat_url), ask_directly(pool)) for _ in range(rounds)]
            browser.close()
    added = [in_page - direct for in_page, direct in pairs]
    rows = {
        "Enter to first token in the page, ms": [in_page for in_page, _ in pairs],
        "vLLM's own first token, ms": [direct for _, direct in pairs],
        "added, ms": added,
    }
    result = {
        "added_first_token_ms_p50": statistics.median(added),
        "added_first_token_ms_p99": percentile(added, 0.99),
    }
    print_report(rows, result, only_json=only_json)


def connect(page: Page, portal_url: str) -> Page:
    """Press the card's Connect button; return the tab that it opens."""
    page.goto(urljoin(portal_url, SESSIONS))
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Connect").click()
    chat = opened.value
    chat.locator("#message").wait_for()
    return chat


def ask_in_page(page: Page, chat_url: str) -> float:
    """Ask in a new chat; return the milliseconds from Enter to the first text of the reply."""
    page.goto(chat_url)
    page.locator("html.with-script").wait_for()
    page.locator("#message").fill(QUESTION)
    page.evaluate(STOPWATCH)
    page.locator("#message").press("Enter")
    page.locator(".message-facts").first.wait_for(state="attached")
    return float(page.evaluate("window.firstTokenMs"))


def ask_directly(pool: EnginePool) -> float:
    """Ask vLLM's socket; return the milliseconds to the first chunk that holds text."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    began = time.perf_counter()
    answer = pool.request(
        "POST",
        "/v1/chat/completions",
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        preload_content=False,
    )
    first_ms = 0.0
    for line in answer:
        if not first_ms and b'"content":"' in line.replace(b'": "', b'":"') and b'"content":""' not in line:
            first_ms = (time.perf_counter() - began) * 1000
    if not first_ms:
        raise click.ClickException("vLLM's direct answer held no text")
    return first_ms


if __name__ == "__main__":
    first_token()

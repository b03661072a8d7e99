"""
What our part adds between Enter in the browser and the first token in the page.

Chromium, Apache as the portal, the job script, the supervisor and the session's pages are real. The engine is one of
two. `paced` gives its first token after just 50 ms and takes no CPU, as a GPU's would not: what is over 50 ms is ours.
`vllm` is real vLLM on CPU, asked in turns through the page and directly; there the browser, which a person has on a
laptop, takes the cores that vLLM computes on, so that the difference holds vLLM's own slowing down too.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from urllib.parse import urljoin

import click
import yaml
from playwright.sync_api import HttpCredentials, Page, sync_playwright

from bench.report import percentile, print_report
from llm_hoster.chat.delta import Delta, parse_event
from llm_hoster.engine.vllm.connection import EnginePool
from portal.chromium import CHROMIUM, FLAGS
from portal.demo_app import REPOSITORY, SITE
from portal.demo_site import DemoSite
from portal.smoke_steps import SESSIONS, SmokeSteps

FOLDER = REPOSITORY / ".demo" / "bench"
PACED_ENGINE = Path(__file__).parent / "paced_engine.py"
QUESTION = "Say hello."
WARM_UP_ROUNDS = 3
# Runs in the page: from the key's event to the first text of a reply in the document.
STOPWATCH = """
() => new Promise((resolve) => {
  let began;
  document.addEventListener("keydown", (event) => { if (event.key === "Enter") began = performance.now(); }, true);
  const messages = document.getElementById("messages");
  const watcher = new MutationObserver(() => {
    const reply = messages.querySelector(".message-assistant");
    const places = reply ? [...reply.querySelectorAll(".prose")] : [];
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
@click.option("--engine", type=click.Choice(["paced", "vllm"]), default="paced", show_default=True)
@click.option("--rounds", default=60, show_default=True, help="How many questions to ask each way.")
@click.option("--json", "only_json", is_flag=True, help="Print the last line alone.")
def first_token(engine: str, rounds: int, only_json: bool) -> None:
    """Measure the time from Enter to the first token in the page, the engine's own, and the difference, in ms."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with DemoSite(FOLDER / "site", site_file=paced_site() if engine == "paced" else SITE, fresh=True) as site:
        steps = SmokeSteps(site)
        for step in (steps.log_in, steps.open_form, steps.launch, steps.wait_for_card, steps.log_in_to_session):
            step()
        steps.wait_until_ready()
        assert steps.runtime_folder is not None  # noqa: S101 - the last step but one finds it
        pool = EnginePool(steps.runtime_folder / "vllm.sock")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
            credentials: HttpCredentials = {"username": site.user, "password": site.password}
            chat = connect(browser.new_context(http_credentials=credentials).new_page(), site.url)
            asked = [(ask_in_page(chat, steps.chat_url), ask_directly(pool)) for _ in range(WARM_UP_ROUNDS + rounds)]
            browser.close()
    pairs = asked[WARM_UP_ROUNDS:]
    added = [in_page - direct for in_page, direct in pairs]
    rows = {
        "Enter to first token in the page, ms": [in_page for in_page, _ in pairs],
        "the engine's own first token, ms": [direct for _, direct in pairs],
        "added, ms": added,
    }
    result = {
        "added_first_token_ms_p50": statistics.median(added),
        "added_first_token_ms_p99": percentile(added, 0.99),
    }
    print_report(rows, result, only_json=only_json)


def paced_site() -> Path:
    """Write the demo's site with the paced engine in vLLM's place."""
    program = FOLDER / "engine" / "bin" / "vllm"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.unlink(missing_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PACED_ENGINE}" "$@"\n')
    program.chmod(0o755)
    site = yaml.safe_load(SITE.read_text())
    for field in ("prefix", "models"):
        site[field] = str((SITE.parent / site[field]).resolve())
    site["engines"][0]["target"] = str(program.parent.parent)
    path = FOLDER / "site.yml"
    path.write_text(yaml.safe_dump(site))
    return path


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
    page.locator(".message-foot").first.wait_for(state="attached")
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
        delta = parse_event(line.removeprefix(b"data:").strip()) if line.startswith(b"data:") else Delta()
        if delta.content and not first_ms:
            first_ms = (time.perf_counter() - began) * 1000
    if not first_ms:
        raise click.ClickException("vLLM's direct answer held no text")
    return first_ms


if __name__ == "__main__":
    first_token()

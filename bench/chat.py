"""
The chat page: its first visit, its first token, Markdown as it streams, a long chat, and a hundred readers.

The engine is paced and takes no CPU, the web app runs under gunicorn as in a session, and Chromium is real. Each number
has something beside it in the same run: a bare page, plain text, the engine asked directly, and Chainlit, which is
installed below .venv/bench.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import click
from playwright.sync_api import Browser, sync_playwright

from bench.chat_page import Chat, Cold, PageBench, median, our_chat
from bench.chat_peers import chainlit, install_chainlit
from bench.chat_readers import ReaderBench
from bench.first_token import ask_directly
from bench.markdown_stream import Bench, SampleHandler, tokens_of
from bench.paced_engine import Server
from bench.proxies import Place, gateway
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message
from llm_hoster.engine.vllm.connection import EnginePool
from portal.chromium import CHROMIUM, FLAGS

BARE_PAGE = b"""<!doctype html><html lang="en"><head><title>Bare</title></head><body><textarea id="message"></textarea>
<script>document.documentElement.classList.add("with-script");</script></body></html>"""
LONG_CHAT, LONG_MESSAGES = "f" * 32, 1000
MARKDOWN = {"kind": "mixed", "tokens": 2000, "tokens_per_s": 50}
FAST_MARKDOWN = {"kind": "mixed", "tokens": 4000, "tokens_per_s": 100}
READERS = 100
READ_TEXT: dict[str, object] = {"kind": "mixed", "tokens": 400, "tokens_per_s": 20}


class ChatBench:
    def __init__(self, browser: Browser, place: Place, port: int, pid: int, rounds: int) -> None:
        self._place = place
        self._port = port
        self._pid = pid
        self._rounds = rounds
        self._pages = PageBench(browser)
        self._streams = Bench(browser, f"http://127.0.0.1:{port}", place)
        self._ours = our_chat(f"http://127.0.0.1:{port}", place.secret)

    def visits(self) -> dict[str, float]:
        """Visit us and the bare page in turns, and at the end the long chat."""
        ours: list[Cold] = []
        bare: list[Cold] = []
        long: list[Cold] = []
        with bare_page() as url:
            for _ in range(self._rounds):
                bare.append(self._pages.cold(bare_chat(url)))
                ours.append(self._pages.cold(self._ours))
                long.append(self._pages.cold(self._ours, f"/chat/{LONG_CHAT}"))
        return {
            "cold_kb": median(ours, "kb"),
            "cold_requests": max(visit.requests for visit in ours),
            "foreign_requests": max(visit.foreign_requests for visit in ours + long),
            "interactive_ms": median(ours, "interactive_ms"),
            "bare_page_ms": median(bare, "interactive_ms"),
            "ready_ms": median(ours, "ready_ms"),
            "bare_page_ready_ms": median(bare, "ready_ms"),
            "open_1000_messages_ms": median(long, "ready_ms"),
        }

    def first_token(self) -> dict[str, float]:
        in_page = self._pages.first_token_ms(self._ours, "Say hello.", self._rounds + 3)[3:]
        pool = EnginePool(self._place.socket_path)
        direct = [ask_directly(pool) for _ in in_page]
        return {"added_first_token_ms_p50": statistics.median(in_page) - statistics.median(direct)}

    def streams(self) -> dict[str, float]:
        chat, plain, fast = (
            self._streams.chat(MARKDOWN),
            self._streams.plain(MARKDOWN),
            self._streams.chat(FAST_MARKDOWN),
        )
        return {
            "markdown_2000_done_s": chat.done_s,
            "plain_2000_done_s": plain.done_s,
            "markdown_2000_browser_cpu_s": chat.browser_cpu_s,
            "plain_2000_browser_cpu_s": plain.browser_cpu_s,
            "long_tasks_share": fast.long_tasks_share,
        }

    def chainlit(self) -> dict[str, float]:
        """See the same of Chainlit, with an app as its documentation writes it."""
        install_chainlit()
        with chainlit(self._place) as chat:
            visits = [self._pages.cold(chat) for _ in range(self._rounds)]
            in_page = self._pages.first_token_ms(chat, "Say hello.", self._rounds + 3)[3:]
            direct = [ask_directly(EnginePool(self._place.socket_path)) for _ in in_page]
            stream = self._streams.chat(MARKDOWN, chat)
        return {
            "chainlit_cold_kb": median(visits, "kb"),
            "chainlit_cold_requests": median(visits, "requests"),
            "chainlit_interactive_ms": median(visits, "interactive_ms"),
            "chainlit_ready_ms": median(visits, "ready_ms"),
            "chainlit_added_first_token_ms_p50": statistics.median(in_page) - statistics.median(direct),
            "chainlit_markdown_2000_done_s": stream.done_s,
            "chainlit_markdown_2000_browser_cpu_s": stream.browser_cpu_s,
        }

    def readers(self) -> dict[str, float]:
        whole = "".join(islice(tokens_of("mixed"), 400))
        found = ReaderBench(self._port, self._place.secret, self._pid).run(READERS, READ_TEXT, whole.strip())
        return {
            "users_100_memory_mb": found.memory_mb,
            "users_100_cpu_cores": found.cpu_cores,
            "users_100_lost": found.lost,
        }


def bare_chat(url: str) -> Chat:
    return Chat(name="bare", url=url, ready="html.with-script #message", box="#message", reply="", done="")


@contextlib.contextmanager
def bare_page() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(BARE_PAGE)))
            self.end_headers()
            self.wfile.write(BARE_PAGE)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def write_long_chat(data_dir: Path) -> None:
    """Leave a conversation of an ended session: questions, and replies of Markdown."""
    sample = "".join(islice(tokens_of("mixed"), 300))
    parent_id = None
    with contextlib.closing(ConversationStore(data_dir / "conversations" / "earlier.sqlite3")) as store:
        for number in range(LONG_MESSAGES // 2):
            question = Message(LONG_CHAT, "user", f"Question {number}", parent_id=parent_id)
            reply = Message(LONG_CHAT, "assistant", f"{sample}\n\nAnswer {number}", completion_tokens=300, total_s=6.0)
            store.add_turn(question, reply, "owner")
            parent_id = reply.id


PARTS = ("visits", "first_token", "streams", "readers", "chainlit")


@click.command()
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, default=PARTS, show_default=True)
@click.option("--rounds", default=15, show_default=True, help="How many visits and questions.")
def main(parts: tuple[str, ...], rounds: int) -> None:
    """Measure the chat page; the last line is JSON."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp")))
        place = Place(socket_path=folder / "engine.sock", port=0, folder=folder)
        engine = stack.enter_context(Server(str(place.socket_path), SampleHandler))
        threading.Thread(target=engine.serve_forever, daemon=True).start()
        stack.callback(engine.shutdown)
        write_long_chat(folder / "session" / "data")
        app = stack.enter_context(gateway(place))
        assert app.pid is not None  # noqa: S101 - of ours it is known
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        stack.callback(browser.close)
        bench = ChatBench(browser, place, int(app.address), app.pid, rounds)
        result: dict[str, Any] = {}
        for part in parts:
            found: dict[str, float] = getattr(bench, part)()
            click.echo(f"{part}: {json.dumps({key: round(value, 3) for key, value in found.items()})}", err=True)
            result |= found
    click.echo(json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    main()

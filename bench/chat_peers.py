"""The chat that ours is measured beside: Chainlit, before the same paced engine."""

from __future__ import annotations

import contextlib
import os
import signal
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
import requests

from bench.chat_page import Chat
from bench.markdown_stream import SampleHandler
from bench.proxies import PEERS, START_TIMEOUT_S, Place, free_port, install

# The version of the numbers in docs/decisions/prose.md, from PyPI.
REQUIREMENTS = ("chainlit==2.12.0", "openai")
APP = Path(__file__).with_name("chainlit_app.py")


class TCPServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


def install_chainlit() -> None:
    install("chainlit", *REQUIREMENTS)


@contextlib.contextmanager
def chainlit(place: Place) -> Iterator[Chat]:
    """Start it with an engine of its own, which listens on a port: Chainlit knows no unix sockets."""
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(TCPServer(("127.0.0.1", 0), SampleHandler))
        threading.Thread(target=engine.serve_forever, daemon=True).start()
        stack.callback(engine.shutdown)
        url = f"http://127.0.0.1:{free_port()}"
        command = [str(PEERS / "chainlit" / "bin" / "chainlit"), "run", str(APP), "--headless", "--host", "127.0.0.1"]
        command += ["--port", url.rpartition(":")[2]]
        environment = {**os.environ, "ENGINE_URL": f"http://127.0.0.1:{engine.server_address[1]}/v1"}
        log = stack.enter_context((place.folder / "chainlit.log").open("wb"))
        process = subprocess.Popen(  # noqa: S603
            command, env=environment, cwd=place.folder, stdout=log, stderr=log, start_new_session=True
        )
        stack.callback(process.wait)
        stack.callback(os.killpg, process.pid, signal.SIGKILL)
        wait_for_page(url, process)
        yield Chat(
            name="chainlit",
            url=url,
            ready="#upload-button",  # Before, its socket is not open, and Enter does nothing.
            box="#chat-input",
            reply=".ai-message .message-content",
            done="body:has(.ai-message):has(#chat-submit)",  # While it writes, the button is another one.
        )


def wait_for_page(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, timeout=5).ok:
                return
        time.sleep(0.2)
    raise click.ClickException("Chainlit does not answer.")

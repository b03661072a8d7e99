"""An engine that answers with the question, in pieces as small as wanted: it writes whatever a test likes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.paced_engine import Handler, Server


class Echo(Handler):
    """
    `piece` is how many characters come at a time. The end comes when the gate is open.

    One that `names_model` says before each answer which model was asked.
    """

    token_s = 0.0
    piece = 1
    names_model = False
    gate: threading.Event
    # What vLLM would tell of itself at /metrics.
    figures: Callable[[], str]

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        body = type(self).figures().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def words(self, question: bytes) -> list[str]:
        asked = json.loads(question)
        text = asked["messages"][-1]["content"]
        text = f"{asked['model']} says: {text}" if self.names_model else text
        return [text[start : start + self.piece] for start in range(0, len(text), self.piece)]

    def send_event(self, document: dict[str, Any]) -> None:
        if any(choice.get("finish_reason") for choice in document["choices"]):
            self.gate.wait(60)
        super().send_event(document)


@contextmanager
def echo_engine(
    path: Path,
    *,
    piece: int = 1,
    token_s: float = 0.0,
    names_model: bool = False,
    figures: Callable[[], str] = str,
) -> Iterator[threading.Event]:
    """Give the gate, which is open."""
    gate = threading.Event()
    gate.set()
    values = {"piece": piece, "token_s": token_s, "names_model": names_model, "gate": gate}
    handler = type("PacedEcho", (Echo,), values | {"figures": staticmethod(figures)})
    with Server(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield gate
        server.shutdown()
        thread.join(10)

"""An engine that says what a test tells it, when it is told: a thought, a word, an end, or nothing any more."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.paced_engine import Handler, Server

PATIENCE_S = 60.0


class Asked:
    """One question that the engine was asked. A test says what it answers."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.is_hung_up = threading.Event()
        self._items: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def say(self, content: str = "", *, reasoning: str = "", finish_reason: str | None = None, **more: Any) -> None:
        delta = {"content": content, "reasoning": reasoning} | more
        document = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}
        self.say_raw(json.dumps(document).encode())

    def say_raw(self, document: bytes) -> None:
        self._items.put(b"data: " + document + b"\n\n")

    def end(self, finish_reason: str = "stop", tokens: int | None = None) -> None:
        self.say(finish_reason=finish_reason)
        if tokens is not None:
            self.say_raw(json.dumps({"choices": [], "usage": {"completion_tokens": tokens}}).encode())
        self._items.put(b"data: [DONE]\n\n")
        self._items.put(b"")

    def answer(self, text: str) -> None:
        """To a question that wants no stream."""
        self._items.put(json.dumps({"choices": [{"message": {"content": text}}]}).encode())

    def die(self) -> None:
        """Break off as one who is killed does."""
        self._items.put(None)

    def next_item(self) -> bytes | None:
        return self._items.get(timeout=PATIENCE_S)


class Told(Handler):
    asked: queue.SimpleQueue[Asked]

    def do_POST(self) -> None:  # noqa: N802 - http.server's word
        self.close_connection = True
        asked = Asked(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if self.path == "/tokenize":
            self.send_error(404)
            return
        self.asked.put(asked)
        try:
            self._answer(asked)
        except OSError:
            asked.is_hung_up.set()

    def _answer(self, asked: Asked) -> None:
        item = asked.next_item()
        if item is None:
            return
        self.send_response(200)
        if asked.body.get("stream"):
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        else:
            self.send_header("Content-Length", str(len(item)))
            self.end_headers()
            self.wfile.write(item)
            return
        while item is not None:
            self.send_chunk(item)
            if not item:
                return
            item = asked.next_item()


class ToldEngine:
    def __init__(self, asked: queue.SimpleQueue[Asked]) -> None:
        self._asked = asked

    def next_question(self) -> Asked:
        return self._asked.get(timeout=PATIENCE_S)

    def was_asked(self) -> bool:
        return not self._asked.empty()


@contextmanager
def told_engine(path: Path) -> Iterator[ToldEngine]:
    asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()
    with Server(str(path), type("ToldHandler", (Told,), {"asked": asked})) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield ToldEngine(asked)
        server.shutdown()
        thread.join(10)

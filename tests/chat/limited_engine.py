"""An engine that counts: a token for each word and four for each message, and no more of them than its limit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.paced_engine import Handler, Server

OF_MESSAGE = 4
REFUSED = (
    "This model's maximum context length is {limit} tokens. However, your prompt contains {count} input tokens, which "
    "exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
)


@dataclass
class LimitedEngine:
    """What a test says and sees of the engine. A summary ends when the gate is open."""

    limit: int
    asked: list[dict[str, Any]] = field(default_factory=list)
    counted: list[dict[str, Any]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    summary: str = "They spoke about words."
    is_broken: bool = False

    def last_words(self) -> list[str]:
        return [message["content"] for message in self.asked[-1]["messages"]]


def count(request: dict[str, Any]) -> int:
    """A tool is as many tokens as a message without words."""
    if "messages" not in request:
        return len(request["prompt"].split())
    words = sum(len(message["content"].split()) for message in request["messages"])
    return words + OF_MESSAGE * (len(request["messages"]) + len(request.get("tools", [])))


class LimitedHandler(Handler):
    engine: LimitedEngine

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tokens = count(body)
        if self.path == "/tokenize":
            self.engine.counted.append(body)
            self.answer(200, {"count": tokens, "max_model_len": self.engine.limit, "tokens": []})
            return
        self.engine.asked.append(body)
        question = body["messages"][-1]["content"]
        if self.engine.is_broken:
            self.answer(500, {"error": {"message": "The engine is broken."}})
        elif tokens + body.get("max_tokens", 1) > self.engine.limit:
            message = REFUSED.format(limit=self.engine.limit, count=tokens)
            self.answer(400, {"error": {"message": message, "type": "BadRequestError", "code": 400}})
        elif question.startswith("Summarise the conversation"):
            self.write(tokens, self.engine.summary.split(), is_held=True)
        else:
            self.write(tokens, question.split()[:20])

    def write(self, tokens: int, words: list[str], *, is_held: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in words:
            self.send_event({"choices": [{"index": 0, "delta": {"content": f"{word} "}}]})
        if is_held:
            self.engine.gate.wait(60)
        self.send_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.send_event({"choices": [], "usage": {"prompt_tokens": tokens, "completion_tokens": len(words)}})
        self.send_chunk(b"data: [DONE]\n\n")
        self.send_chunk(b"")

    def answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def limited_engine(path: Path, limit: int) -> Iterator[LimitedEngine]:
    engine = LimitedEngine(limit)
    engine.gate.set()
    with Server(str(path), type("OneLimited", (LimitedHandler,), {"engine": engine})) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield engine
        engine.gate.set()
        server.shutdown()
        thread.join(10)

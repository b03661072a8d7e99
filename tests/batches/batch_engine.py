"""
A small server in vLLM's place that answers the lines of batches, and counts what it is asked.

The content of a question steers its answer: "hold ..." is answered when `go_on` is set, "refuse ..." with status 400,
"die ..." not at all, "garble ..." with what is no HTTP, the first time. `busy` answers of 503 come before any other;
`others` are requests that somebody else asks.
"""

from __future__ import annotations

import http.server
import json
import select
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


class BatchEngine:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.models = ["tiny"]
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.aborted: list[str] = []
        self.go_on = threading.Event()
        self.busy = 0
        self.others = 0
        self.others_waiting = 0
        self.in_flight = 0
        self.in_flight_max = 0
        self.lock = threading.Lock()

    @contextmanager
    def serving(self) -> Iterator[None]:
        handler = type("OwnHandler", (Handler,), {"engine": self})
        server = Server(str(self.path), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            self.go_on.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def times_asked(self, question: str) -> int:
        return self.asked.count(question)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: BatchEngine

    def do_GET(self) -> None:
        engine = self.engine
        figures = (
            f'vllm:num_requests_running{{engine="0"}} {engine.in_flight + engine.others}\n'
            f'vllm:num_requests_waiting{{engine="0"}} {engine.others_waiting}\n'
        )
        models = json.dumps({"object": "list", "data": [{"id": name} for name in engine.models]})
        self._answer(200, figures if self.path == "/metrics" else models)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][0]["content"] if "messages" in body else str(body.get("input", body.get("prompt")))
        engine = self.engine
        with engine.lock:
            if engine.busy > 0:
                engine.busy -= 1
                self._answer(503, "{}", {"Retry-After": "1"})
                return
            engine.asked.append(question)
            engine.bodies.append(body)
            engine.in_flight += 1
            engine.in_flight_max = max(engine.in_flight_max, engine.in_flight)
        try:
            self._reply(body, question)
        finally:
            with engine.lock:
                engine.in_flight -= 1

    def _reply(self, body: dict[str, Any], question: str) -> None:
        if question.startswith("hold"):
            while not self.engine.go_on.wait(0.01):
                if select.select([self.connection], [], [], 0)[0]:
                    self.engine.aborted.append(question)
                    self.close_connection = True
                    return
        if question.startswith("die"):
            self.close_connection = True
        elif question.startswith("garble") and self.engine.times_asked(question) == 1:
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n-5\r\n")
        elif question.startswith("refuse"):
            self._answer(400, json.dumps({"error": {"message": "no", "type": "x", "param": None, "code": 400}}))
        elif body["model"] not in self.engine.models:
            self._answer(404, json.dumps({"error": {"message": "no model", "type": "x", "param": None, "code": 404}}))
        else:
            message = {"role": "assistant", "content": f"answer to {question}"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = {"id": "one", "choices": [choice], "usage": USAGE}
            self._answer(200, json.dumps(answer, indent=1, separators=(",", ":")))

    def _answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """It has nothing to say."""

#!/usr/bin/env python3
"""
An engine that speaks vLLM's chat stream at a steady pace: the first token after 50 ms, then one each 20 ms.

It takes next to no CPU, so that what `first_token.py` measures is ours and not a race with vLLM for two cores. Peers
were measured behind the same pace. Started as `vllm serve MODEL --uds PATH ...` in an engine's place.
"""

from __future__ import annotations

import json
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

FIRST_TOKEN_S = 0.05
TOKEN_S = 0.02
CONTEXT_LENGTH = 131_072
WORDS = ["Hello", "! ", "This ", "answer ", "comes ", "at ", "a ", "steady ", "pace", "."]


class Handler(BaseHTTPRequestHandler):
    """Answers /health, and every POST with the stream."""

    protocol_version = "HTTP/1.1"
    token_s = TOKEN_S

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        question = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/tokenize":
            self.answer_count(len(question.split()))
            return
        words = self.words(question)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.send_event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        time.sleep(FIRST_TOKEN_S)
        due = time.monotonic()
        for word in words:
            self.send_event({"choices": [{"index": 0, "delta": {"content": word}}]})
            due += self.token_s
            time.sleep(max(0.0, due - time.monotonic()))
        self.send_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.send_event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(words)}})
        self.send_chunk(b"data: [DONE]\n\n")
        self.send_chunk(b"")

    def answer_count(self, count: int) -> None:
        answer = json.dumps({"count": count, "max_model_len": CONTEXT_LENGTH, "tokens": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def words(self, question: bytes) -> list[str]:
        """Say what to answer to a request's body; another `token_s` may be set for it."""
        return WORDS

    def send_event(self, document: dict[str, object]) -> None:
        self.send_chunk(b"data: " + json.dumps(document).encode() + b"\n\n")

    def send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Say nothing: the log is read by the supervisor."""


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    path = Path(sys.argv[sys.argv.index("--uds") + 1])
    with Server(str(path), Handler) as server:
        print("INFO:     Application startup complete.", flush=True)
        server.serve_forever()

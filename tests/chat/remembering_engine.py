"""An engine that echoes, counts words for tokens, and remembers what it was asked."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.paced_engine import Server
from tests.chat.echo_engine import Echo


class Remembering(Echo):
    """`sees`: whether it takes pictures. `asked` are the questions, without those for tokens; it reads `limit`."""

    sees = False
    limit = 100_000
    asked: list[Any]

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        data = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(data)
        if self.path == "/tokenize":
            self.count(body)
            return
        self.asked.append(body["messages"])
        self.rfile = io.BytesIO(data)
        super().do_POST()

    def words(self, question: bytes) -> list[str]:
        return ["Read."]

    def count(self, body: dict[str, Any]) -> None:
        is_taken = "prompt" in body or self.sees
        answer = json.dumps({"count": len(body.get("prompt", "").split()), "max_model_len": self.limit}).encode()
        self.send_response(200 if is_taken else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@contextmanager
def remembering_engine(path: Path, *, sees: bool = False, limit: int = 100_000) -> Iterator[list[Any]]:
    """Give what it was asked, the latest last."""
    gate = threading.Event()
    gate.set()
    asked: list[Any] = []
    handler = type("Engine", (Remembering,), {"sees": sees, "limit": limit, "gate": gate, "asked": asked})
    with Server(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield asked
        server.shutdown()
        thread.join(10)

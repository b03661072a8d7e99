"""A small HTTP server behind the proxy: it says what reached it, and answers as the last part of the path asks."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, urlsplit


class EchoHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path.endswith("/events"):
            self.send_events()
            return
        heard = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": len(body)}
        answer = json.dumps(heard).encode()
        self.send_response(302 if "location" in query else int(query.get("status", ["200"])[0]))
        for location in query.get("location", []):
            self.send_header("Location", location)
        for cookie in query.get("cookie", []):
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - http.server's names

    def send_events(self) -> None:
        """Send the time, five times in half a second."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for _ in range(5):
            self.wfile.write(f"data: {time.monotonic()}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.1)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class EchoBackend:
    """Use it with `with`; `port` is where it listens."""

    def __enter__(self) -> EchoBackend:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), EchoHandler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

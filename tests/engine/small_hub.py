"""A small web server in the place of the Hugging Face hub."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class SmallHub:
    """`files` by path; an int is a status, a str an address to go to, a float a wait in seconds before each piece."""

    address: str
    files: dict[str, bytes | int | str | float] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Authorization of each request."""


@contextmanager
def small_hub(host: str = "127.0.0.1") -> Iterator[SmallHub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append((self.path, self.headers.get("Authorization")))
            answer = hub.files.get(self.path, 404)
            if isinstance(answer, bytes):
                self._begin(200, len(answer))
                self.wfile.write(answer)
            elif isinstance(answer, str):
                self.send_response(307)
                self.send_header("Location", answer)
                self.end_headers()
            elif isinstance(answer, float):
                self._begin(200, 10**9)
                while self._trickle(answer):
                    pass
            else:
                self._begin(answer, 0)

        def _begin(self, status: int, length: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def _trickle(self, wait_s: float) -> bool:
            time.sleep(wait_s)
            try:
                self.wfile.write(b" " * 65536)
            except OSError:
                return False
            return True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    hub = SmallHub(f"http://{host}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

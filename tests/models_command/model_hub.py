"""A small web server in the place of the hub: serves files as huggingface.co does, or misbehaves on request."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class ModelHub:
    """`files` by model and name. `misbehave` may answer instead: it gets the handler and says whether it has."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    gated: dict[str, str | None] = field(default_factory=dict)
    """Models whose files ask for this token; None: no token will do."""
    private: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    misbehave: Callable[[BaseHTTPRequestHandler], bool] = lambda handler: False

    def publish(self, model: str, files: dict[str, bytes | str | dict[str, object]]) -> None:
        for name, content in files.items():
            text = json.dumps(content) if isinstance(content, dict) else content
            self.files[f"{model}/{name}"] = text.encode() if isinstance(text, str) else text

    def names_asked(self) -> list[str]:
        return [path.rpartition("/")[2] for path, _ in self.asked]


def refuse(status: int, code: str = "", body: bytes = b"no") -> Callable[[BaseHTTPRequestHandler], bool]:
    def answer(handler: BaseHTTPRequestHandler) -> bool:
        send(handler, status, body, {"X-Error-Code": code} if code else {})
        return True

    return answer


def trickle(handler: BaseHTTPRequestHandler) -> bool:
    """A byte now and then, each in time, and never the whole; a test has long given up when it ends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(50):
            handler.wfile.write(b" ")
            time.sleep(0.1)
    return True


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def model_hub() -> Iterator[ModelHub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append((self.path, self.headers.get("Authorization")))
            if not hub.misbehave(self):
                self._serve()

        def _serve(self) -> None:
            model, _, rest = self.path.lstrip("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            login = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if model in hub.private and login != hub.private[model]:
                return send(self, 401, b"", {"X-Error-Code": "RepoNotFound"})
            if model in hub.gated and name != "README.md" and (not login or login != hub.gated[model]):
                return send(self, 403 if login else 401, b"", {"X-Error-Code": "GatedRepo"})
            if not any(key.startswith(f"{model}/") for key in hub.files) or revision not in ("main", COMMIT):
                return send(self, 404, b"", {"X-Error-Code": "RepoNotFound"})
            content = hub.files.get(f"{model}/{name}")
            if content is None:
                return send(self, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            if self.headers.get("Range") == "bytes=0-7":
                part = {"Content-Range": f"bytes 0-7/{len(content)}", "X-Repo-Commit": COMMIT}
                return send(self, 206, content[:8], part)
            return send(self, 200, content, {"X-Repo-Commit": COMMIT})

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = ModelHub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""
A hub whose files can be fetched: descriptions with hashes, large files behind a redirect, ranges, and what goes wrong.

"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
LARGE_BYTES = 4096
PIECE_BYTES = 65536


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class DownloadHub:
    """`files` of the one model by name. `before_piece` is called before each 64 KiB, and may raise ConnectionError."""

    address: str
    model: str = "org/model"
    files: dict[str, bytes] = field(default_factory=dict)
    description: dict[str, Any] = field(default_factory=dict)
    """What the description says instead of the truth."""
    commit: str = COMMIT
    token: str | None = None
    """The model is gated: its files, not its description, ask for this."""
    knows_ranges: bool = True
    is_wrong: Callable[[str, int], bool] = lambda name, time: False
    """Whether a file comes with a wrong byte the first, second... time."""
    before_piece: Callable[[str, int], None] = lambda name, offset: None
    statuses: dict[str, list[int]] = field(default_factory=dict)
    """Answers of a file before the right one."""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Path, Range, Authorization."""
    sent_bytes: int = 0

    def times(self, name: str) -> int:
        """How often the content of a file was asked for."""
        return sum(path.startswith("/cdn/") and path.endswith(f"/{name}") for path, _, _ in self.asked) + sum(
            f"/resolve/{self.commit}/{name}" in path for path, _, _ in self.asked if len(self.files[name]) < LARGE_BYTES
        )

    def describe(self) -> bytes:
        siblings = []
        for name, content in self.files.items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git_sha1(content)}
            if len(content) >= LARGE_BYTES:
                entry |= {
                    "blobId": "0" * 40,
                    "lfs": {"sha256": sha256(content), "size": len(content), "pointerSize": 1},
                }
            siblings.append(entry)
        said = {"sha": self.commit, "gated": "auto" if self.token else False, "cardData": {"license": "apache-2.0"}}
        return json.dumps({**said, "siblings": siblings, **self.description}).encode()


class Handler(BaseHTTPRequestHandler):
    hub: DownloadHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        login = self.headers.get("Authorization")
        self.hub.asked.append((self.path, self.headers.get("Range", ""), login))
        if self.path == f"/api/models/{self.hub.model}/revision/main?blobs=true":
            self._send(200, self.hub.describe())
        elif self.path.startswith(f"/{self.hub.model}/resolve/{self.hub.commit}/"):
            self._resolve(self.path.split(f"/{self.hub.commit}/", 1)[1], login)
        elif self.path.startswith("/cdn/"):
            self._content(self.path.removeprefix("/cdn/"))
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _resolve(self, name: str, login: str | None) -> None:
        if self.hub.token is not None and login != f"Bearer {self.hub.token}":
            return self._send(403 if login else 401, b"", {"X-Error-Code": "GatedRepo"})
        if self.hub.statuses.get(name):
            return self._send(self.hub.statuses[name].pop(0), b"")
        if len(self.hub.files[name]) >= LARGE_BYTES:
            place = self.hub.address.replace("127.0.0.1", "localhost")
            return self._send(302, b"", {"Location": f"{place}/cdn/{name}", "X-Repo-Commit": self.hub.commit})
        return self._content(name)

    def _content(self, name: str) -> None:
        content = self.hub.files[name]
        if self.hub.is_wrong(name, self.hub.times(name)):
            content = bytes([content[0] ^ 1]) + content[1:]
        begin = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if not self.hub.knows_ranges:
            begin = 0
        if begin >= len(content) > 0:
            return self._send(416, b"")
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        with contextlib.suppress(OSError):
            for offset in range(begin, len(content), PIECE_BYTES):
                self.hub.before_piece(name, offset)
                piece = content[offset : min(offset + PIECE_BYTES, len(content))]
                self.wfile.write(piece)
                self.hub.sent_bytes += len(piece)
            return
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def download_hub() -> Iterator[DownloadHub]:
    class Answering(Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    hub = Answering.hub = DownloadHub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def slowly(pause_s: float) -> Callable[[str, int], None]:
    def pause(name: str, offset: int) -> None:
        if name.endswith(".safetensors"):
            time.sleep(pause_s)

    return pause

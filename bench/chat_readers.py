"""People who read a reply each, at the same time: every one with a conversation and a connection, in one event loop."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlencode

import requests

from bench.process_cost import cpu_s, memory_mb, tree

EVENT_MAX_BYTES = 1 << 22


@dataclass(frozen=True)
class Readers:
    """What our processes have taken; `lost` counts the readers who have not seen their whole reply."""

    memory_mb: float
    cpu_cores: float
    lost: int


class ReaderBench:
    def __init__(self, port: int, secret: str, pid: int) -> None:
        self._port = port
        self._pid = pid
        self._session = requests.Session()
        self._session.post(f"http://127.0.0.1:{port}/login", data={"password": secret}, timeout=10)
        cookies = self._session.cookies.get_dict()
        self._cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())

    def run(self, people: int, question: dict[str, object], whole: str) -> Readers:
        with ThreadPoolExecutor(1) as other:  # Playwright has a loop in this one.
            return other.submit(asyncio.run, self._run(people, question, whole)).result()

    async def _run(self, people: int, question: dict[str, object], whole: str) -> Readers:
        before_s, began_at = cpu_s(tree(self._pid)), time.monotonic()
        reading = [asyncio.create_task(self._read(json.dumps(question))) for _ in range(people)]
        peak_mb = 0.0
        while not all(task.done() for task in reading):
            await asyncio.sleep(1)
            peak_mb = max(peak_mb, memory_mb(tree(self._pid)))
        cores = (cpu_s(tree(self._pid)) - before_s) / (time.monotonic() - began_at)
        seen = [task.result() for task in reading]
        lost = sum(not is_done or self._saved(reply_id) != whole for reply_id, is_done in seen)
        return Readers(peak_mb, cores, lost)

    async def _read(self, question: str) -> tuple[str, bool]:
        """Ask as the page does; give the reply's id, and whether its end has come."""
        body = urlencode({"message": question})
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=EVENT_MAX_BYTES)
        writer.write(
            f"POST /chat/{secrets.token_hex(16)}/messages HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Cookie: {self._cookie}\r\nAccept: text/event-stream\r\nHX-Request: true\r\nConnection: close\r\n"
            f"Origin: http://127.0.0.1:{self._port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        reply_id, is_done = "", False
        async for line in reader:
            if b"message-assistant" in line and not reply_id:
                before, _, _ = line.partition(b'\\" class=\\"message message-assistant')
                reply_id = before[-32:].decode()
            is_done = is_done or line.startswith(b"event: done")
        writer.close()
        return reply_id, is_done

    def _saved(self, reply_id: str) -> str:
        answer = self._session.get(f"http://127.0.0.1:{self._port}/chat/messages/{reply_id}/source", timeout=10)
        return answer.text if answer.ok else ""

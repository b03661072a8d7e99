"""
An upstream that answers as vLLM does, at a steady pace, on a unix socket and on a TCP port.

One thread, epoll and ready-made bytes: about 10 µs of CPU for each chunk, so that the two cores are left for what is
measured. Every chunk says its number and when it was sent, so that the reader sees what is lost, late or out of order.
Started with the path of the socket and the port.
"""

from __future__ import annotations

import heapq
import itertools
import json
import select
import socket
import sys
import time
from dataclasses import dataclass

TOKEN_S = 0.02

EVENT = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[{"index":0,'
    b'"delta":{"content":"%06d %020d "},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n'
)
ROLE = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n'
)
STOP = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[{"index":0,'
    b'"delta":{},"logprobs":null,"finish_reason":"stop","stop_reason":null}]}\n\n'
)
USAGE = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[],'
    b'"usage":{"prompt_tokens":3,"total_tokens":%d,"completion_tokens":%d}}\n\n'
)
DONE = b"data: [DONE]\n\n"
CLOSE = b"connection: close\r\n"
CHAT = b"POST /v1/chat/completions "
ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "total_tokens": 5, "completion_tokens": 2},
}
MODELS = {"object": "list", "data": [{"id": "tiny", "object": "model", "created": 1, "owned_by": "vllm"}]}
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n%s\r\n"
)


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(document: object, *, status: bytes = b"200 OK", closes: bool) -> bytes:
    body = json.dumps(document).encode()
    head = b"HTTP/1.1 %s\r\nserver: uvicorn\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n"
    return head % (status, len(body), CLOSE if closes else b"") + body


CHUNK = http_chunk(EVENT % (0, 0)).replace(b"%06d %020d" % (0, 0), b"%06d %020d")


@dataclass
class Stream:
    """One answer in the writing."""

    connection: socket.socket
    tokens: int
    with_usage: bool
    closes: bool
    sent: int = 0

    def next(self) -> bytes:
        self.sent += 1
        if self.sent == 1:
            head = STREAM_HEAD % (CLOSE if self.closes else b"")
            return head + http_chunk(ROLE) + CHUNK % (1, time.monotonic_ns())
        if not self.is_over:
            return CHUNK % (self.sent, time.monotonic_ns())
        usage = http_chunk(USAGE % (self.tokens + 3, self.tokens)) if self.with_usage else b""
        return http_chunk(STOP) + usage + http_chunk(DONE) + b"0\r\n\r\n"

    @property
    def is_over(self) -> bool:
        return self.sent > self.tokens


class Upstream:
    """
    Its listeners, its connections, and a heap of the streams by when their next chunk is due.

    It waits for nobody: the kernel's buffers hold more than all that a reader who is late has not read yet.
    """

    def __init__(self, listeners: list[socket.socket]) -> None:
        self._poll = select.epoll()
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._connections: dict[int, tuple[socket.socket, bytearray]] = {}
        self._due: list[tuple[float, int, Stream]] = []
        self._numbers = itertools.count()
        for descriptor in self._listeners:
            self._poll.register(descriptor, select.EPOLLIN)

    def serve(self) -> None:
        while True:
            wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1
            for descriptor, _ in self._poll.poll(wait_s):
                if descriptor in self._listeners:
                    self._accept(self._listeners[descriptor])
                else:
                    self._read(descriptor)
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                due_at, _, stream = heapq.heappop(self._due)
                self._go_on(stream, due_at)

    def _go_on(self, stream: Stream, due_at: float) -> None:
        """Send what is due. Who has hung up is not written to again."""
        if self._send(stream.connection, stream.next()) and not stream.is_over:
            heapq.heappush(self._due, (due_at + TOKEN_S, next(self._numbers), stream))
        elif stream.closes:
            self._close(stream.connection)

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = (connection, bytearray())
        self._poll.register(connection.fileno(), select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        connection, received = self._connections[descriptor]
        try:
            data = connection.recv(262144)
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        received += data
        head, separator, body = bytes(received).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if separator and len(body) >= length:
            received.clear()
            self._answer(connection, head, body)

    def _answer(self, connection: socket.socket, head: bytes, body: bytes) -> None:
        closes = b"connection: close" in head.lower()
        question = json.loads(body) if body else {}
        if question.get("stream") and head.startswith(CHAT):
            wants_usage = bool((question.get("stream_options") or {}).get("include_usage"))
            stream = Stream(connection, question.get("max_tokens") or 16, wants_usage, closes)
            self._go_on(stream, time.monotonic())
            return
        self._send(connection, self._whole_answer(head, closes=closes))
        if closes:
            self._close(connection)

    def _whole_answer(self, head: bytes, *, closes: bool) -> bytes:
        """vllm-router asks for more than it is asked, and goes on where there is no such path."""
        if head.startswith(CHAT):
            return whole(ANSWER, closes=closes)
        if head.startswith((b"GET /health ", b"GET /v1/models ")):
            return whole(MODELS, closes=closes)
        return whole({"detail": "Not Found"}, status=b"404 Not Found", closes=closes)

    def _send(self, connection: socket.socket, data: bytes) -> bool:
        try:
            connection.sendall(data)
        except OSError:
            return False
        return True

    def _close(self, connection: socket.socket) -> None:
        if self._connections.pop(connection.fileno(), None) is not None:
            self._poll.unregister(connection.fileno())
            connection.close()


if __name__ == "__main__":
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local,
        socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=1024) as remote,
    ):
        local.bind(sys.argv[1])
        local.listen(1024)
        print("ready", flush=True)
        Upstream([local, remote]).serve()

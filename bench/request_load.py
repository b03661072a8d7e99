"""
The question that the loads ask, and a load of small ones: as many at a time as are wanted, each on a kept connection.

It prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import time
from dataclasses import dataclass
from typing import Any

from bench.process_cost import cpu_s, tree

# Read from the environment: an argument would be seen by all users of the machine.
KEY_VARIABLE = "BENCH_API_KEY"
PATH = "/v1/chat/completions"
WARM_UP_S = 0.5


@dataclass(frozen=True)
class Question:
    """`address` is the path of a socket, or a port of this machine."""

    address: str
    request: bytes
    tokens: int = 0

    @classmethod
    def stream(cls, address: str, tokens: int, *, is_real: bool) -> Question:
        values: dict[str, Any] = {"stream": True, "max_tokens": tokens}
        if is_real:
            values |= {"ignore_eos": True, "return_token_ids": True}
        return cls(address, _request(values, closes=True), tokens)

    @classmethod
    def small(cls, address: str) -> Question:
        return cls(address, _request({"max_tokens": 2}, closes=False))


def _request(values: dict[str, Any], *, closes: bool) -> bytes:
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Say hello."}]} | values).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {os.environ.get(KEY_VARIABLE, '')}\r\n"
        f"Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: bench\r\n"
        f"Content-Length: {len(body)}\r\n{'Connection: close' if closes else 'Connection: keep-alive'}\r\n\r\n"
    )
    return head.encode() + body


def connect(address: str) -> socket.socket:
    if not address.isdigit():
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(address)
        return connection
    connection = socket.create_connection(("127.0.0.1", int(address)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def is_whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    head = head.lower()
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])


def ask_small(question: Question, *, at_a_time: int, window_s: float, pid: int | None) -> dict[str, float]:
    """Count the answers in the window."""
    poll = select.epoll()
    connections: dict[int, socket.socket] = {}
    answers: dict[int, bytes] = {}
    for _ in range(at_a_time):
        connection = connect(question.address)
        connections[connection.fileno()] = connection
        answers[connection.fileno()] = b""
        poll.register(connection.fileno(), select.EPOLLIN)
        connection.sendall(question.request)
    opened_at = time.monotonic() + WARM_UP_S
    cpu_before_s = 0.0
    answered = 0
    pids: list[int] = []
    is_open = False
    while (now := time.monotonic()) < opened_at + window_s:
        if not is_open and now >= opened_at:
            pids = tree(pid) if pid else []
            cpu_before_s, opened_at, answered, is_open = cpu_s(pids), now, 0, True
        for descriptor, _ in poll.poll(0.1):
            answers[descriptor] += connections[descriptor].recv(65536)
            if is_whole(answers[descriptor]):
                if not answers[descriptor].startswith(b"HTTP/1.1 200"):
                    raise SystemExit(answers[descriptor].decode(errors="replace")[:500])
                answered += 1
                answers[descriptor] = b""
                connections[descriptor].sendall(question.request)
    seconds = time.monotonic() - opened_at
    return {
        "requests_per_s": answered / seconds,
        "cpu_us_per_request": (cpu_s(pids) - cpu_before_s) * 1e6 / answered,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--at-a-time", type=int, required=True)
    parser.add_argument("--window-s", type=float, required=True)
    parser.add_argument("--pid", type=int)
    options = parser.parse_args()
    question = Question.small(options.address)
    result = ask_small(question, at_a_time=options.at_a_time, window_s=options.window_s, pid=options.pid)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

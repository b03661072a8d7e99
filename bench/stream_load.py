"""
A load generator: streams at a time, in one thread with epoll. It prints one JSON object.

Streams begin one after the other, evenly over the length of one, and each that ends is followed by a new one: so as
many as wanted are being written at all times, and each first token is met by the full load. After the window nobody
begins, and what runs may end: chunks that are late are not lost.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import time
from dataclasses import dataclass, field

from bench.process_cost import cpu_s, memory_mb, tree
from bench.report import percentile
from bench.request_load import Question, connect

STAMP = re.compile(rb'"content": ?"(\d{6}) (\d{20}) "')
# vLLM's own: with return_token_ids each chunk says which tokens it holds.
TOKEN_IDS = re.compile(rb'"token_ids":\[([\d,]+)\]')
DONE = b"data: [DONE]"
EVENT_END = b"\n\n"
DRAIN_S = 30.0
ERRORS_MAX = 20


@dataclass
class Figures:
    """What has been seen in the window, in milliseconds; lost chunks and errors of all time."""

    ttft_ms: list[float] = field(default_factory=list)
    gap_ms: list[float] = field(default_factory=list)
    transit_ms: list[float] = field(default_factory=list)
    chunks: int = 0
    lost: int = 0
    errors: list[str] = field(default_factory=list)


class Stream:
    """One answer in the reading."""

    def __init__(self, question: Question, *, is_counted: bool) -> None:
        self.asked_at = time.monotonic()
        self.is_counted = is_counted
        self.connection = connect(question.address)
        self.connection.sendall(question.request)
        self.connection.setblocking(False)
        self.left = b""
        self.last = 0
        self.in_order = 0
        self.heard_at: float | None = None
        self.is_done = False

    def take(self, data: bytes) -> list[bytes]:
        """Give the whole events that have come."""
        self.left += data
        whole, separator, self.left = self.left.rpartition(EVENT_END)
        return [whole] if separator else []

    def count(self, number: int) -> None:
        if number > self.last:
            self.in_order += 1
            self.last = number


class StreamLoad:
    """Keeps as many answers coming as are wanted."""

    def __init__(self, question: Question, *, is_stamped: bool) -> None:
        self._question = question
        self._is_stamped = is_stamped
        self._poll = select.epoll()
        self._streams: dict[int, Stream] = {}
        self._running = 0
        self._is_counting = False
        self.figures = Figures()

    def run(self, streams: int, *, spread_s: float, window_s: float, pid: int | None) -> dict[str, float]:
        began_at = time.monotonic()
        while (elapsed_s := time.monotonic() - began_at) < spread_s + 0.5:
            self._step(min(streams, int(elapsed_s / spread_s * streams) + 1))
        pids = tree(pid) if pid else []
        cpu_before_s, opened_at = cpu_s(pids), time.monotonic()
        self._is_counting = True
        while time.monotonic() - opened_at < window_s:
            self._step(streams)
        self._is_counting = False
        window_s = time.monotonic() - opened_at
        used_s, memory = cpu_s(pids) - cpu_before_s, memory_mb(pids)
        deadline = time.monotonic() + DRAIN_S
        while self._running and time.monotonic() < deadline:
            self._step(0)
        for stream in list(self._streams.values()):
            self._end(stream)
        figures = self.figures
        return {
            "lost_chunks": figures.lost,
            "ttft_ms_p50": percentile(figures.ttft_ms, 0.5),
            "ttft_ms_p99": percentile(figures.ttft_ms, 0.99),
            "gap_ms_p99": percentile(figures.gap_ms, 0.99),
            "cpu_us_per_chunk": used_s * 1e6 / figures.chunks,
            "chunks_per_s": figures.chunks / window_s,
            "memory_mb": memory,
            "transit_ms_p50": percentile(figures.transit_ms or [0.0], 0.5),
            "transit_ms_p99": percentile(figures.transit_ms or [0.0], 0.99),
        }

    def _step(self, wanted: int) -> None:
        while self._running < wanted:
            stream = Stream(self._question, is_counted=self._is_counting)
            self._streams[stream.connection.fileno()] = stream
            self._poll.register(stream.connection.fileno(), select.EPOLLIN)
            self._running += 1
        for descriptor, _ in self._poll.poll(0.01):
            self._read(self._streams[descriptor])

    def _read(self, stream: Stream) -> None:
        try:
            data = stream.connection.recv(262144)
        except OSError as error:
            data = str(error).encode()
        now = time.monotonic()
        if not data:
            self._end(stream)
            return
        if stream.heard_at is None and not data.startswith(b"HTTP/1.1 200") and not stream.left:
            self._fail(data.decode(errors="replace")[:900])
        for events in stream.take(data):
            if self._is_stamped:
                self._count_stamped(stream, events, now)
            else:
                self._count_tokens(stream, events, now)
            stream.is_done = stream.is_done or DONE in events

    def _count_stamped(self, stream: Stream, events: bytes, now: float) -> None:
        for number, sent_ns in STAMP.findall(events):
            stream.count(int(number))
            if self._is_counting:
                self.figures.transit_ms.append((now - int(sent_ns) / 1e9) * 1000)
            self._note(stream, 1, now)

    def _count_tokens(self, stream: Stream, events: bytes, now: float) -> None:
        for ids in TOKEN_IDS.findall(events):
            tokens = ids.count(b",") + 1
            stream.in_order += tokens
            self._note(stream, tokens, now)

    def _note(self, stream: Stream, chunks: int, now: float) -> None:
        if stream.heard_at is None:
            if stream.is_counted:
                self.figures.ttft_ms.append((now - stream.asked_at) * 1000)
        elif self._is_counting:
            self.figures.gap_ms.append((now - stream.heard_at) * 1000)
        stream.heard_at = now
        if self._is_counting:
            self.figures.chunks += chunks

    def _end(self, stream: Stream) -> None:
        del self._streams[stream.connection.fileno()]
        self._poll.unregister(stream.connection.fileno())
        stream.connection.close()
        self._running -= 1
        self.figures.lost += self._question.tokens - stream.in_order
        if not stream.is_done:
            self._fail("a stream ended without its last event")

    def _fail(self, what: str) -> None:
        self.figures.errors.append(what)
        if len(self.figures.errors) > ERRORS_MAX:
            raise SystemExit(f"too many errors, the last one: {what}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address", help="The path of a socket, or a port of this machine.")
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True, help="The length of each.")
    parser.add_argument("--spread-s", type=float, required=True, help="The time over which the first ones begin.")
    parser.add_argument("--window-s", type=float, required=True)
    parser.add_argument("--pid", type=int, help="Whose CPU and memory are measured, with all processes below it.")
    parser.add_argument("--real", action="store_true", help="The upstream is vLLM, whose chunks have no stamps.")
    options = parser.parse_args()
    question = Question.stream(options.address, options.tokens, is_real=options.real)
    load = StreamLoad(question, is_stamped=not options.real)
    result = load.run(options.streams, spread_s=options.spread_s, window_s=options.window_s, pid=options.pid)
    print(json.dumps({**result, "errors": load.figures.errors}))


if __name__ == "__main__":
    main()

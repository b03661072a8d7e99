"""
Streams of events, carried from vLLM to their clients by one thread for all.

With a thread for each, every chunk would wake one and let it wait for Python's lock, which costs more than all that is
done with the chunk. Nobody is waited for here: a client that does not read is left alone until it does, and vLLM, whose
stream is not read meanwhile, holds back what it has.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from llm_hoster.gateway.chunked import ChunkedBody

CHUNK_BYTES = 65536
EVENT_END = b"\n\n"
LAST_CHUNK = b"0\r\n\r\n"
# A portal cuts off a connection on which nothing is said for a minute. A comment is what clients of events pass over.
SILENCE_S = 15.0
SIGN_OF_LIFE = b": still here\n\n"
LOOK_EVERY_S = 1.0
LEAVES = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR

log = logging.getLogger(__name__)


class Answer(Protocol):
    """What passes by, and what is made of its end."""

    @property
    def engine_socket(self) -> socket.socket: ...

    def begun(self) -> bytes:
        """Give what came of the body together with the head. After this the rest is read from the socket."""

    def take(self, chunk: bytes) -> bytes:
        """Give what is to be passed on for a chunk."""

    def end(self) -> bytes:
        """Give what is left to pass on when all has come."""

    def break_off(self) -> bytes:
        """Give what tells the client that no more will come."""

    def close(self) -> None:
        """End it, wherever it is. It may be called again."""


class Handover(BaseException):
    """Raised out of gunicorn's own loop when the head has been sent: what follows is the pump's."""

    # Under this name the environment of a request holds it for the access log, which hears of it first.
    NAME = "llm_hoster.handover"

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.write_log: Callable[[int], None] = lambda bytes_sent: None


class Stream:
    """One answer on its way to one client; `on_end` hears how many bytes were sent, and whether that was all."""

    def __init__(
        self, answer: Answer, client: socket.socket, *, is_chunked: bool, on_end: Callable[[int, bool], None]
    ) -> None:
        self.answer = answer
        self.client = client
        # Kept, since a closed socket does not know its own any more.
        self.numbers = (answer.engine_socket.fileno(), client.fileno())
        self.is_over = False
        # What the pump has asked the kernel to tell of.
        self.is_read = self.is_written = False
        self._on_end = on_end
        self._is_chunked = is_chunked
        self._body = ChunkedBody()
        self._bytes_sent = 0
        self._unsent = b""
        self._is_whole = False
        self._is_between_events = True
        self._heard_at = time.monotonic()

    @property
    def waits_for_client(self) -> bool:
        return bool(self._unsent)

    @property
    def waits_for_engine(self) -> bool:
        return not self._unsent and not self._is_whole

    def begin(self) -> None:
        if begun := self.answer.begun():
            self._pass_on(begun)

    def pull(self) -> None:
        """Carry what vLLM has sent."""
        try:
            data = self.answer.engine_socket.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._pass_on(data)
        else:
            self._finish(self.answer.break_off())

    def push(self) -> None:
        """Send what the client had no room for."""
        self._send(self._unsent)

    def leave(self) -> None:
        """Look whether the client has hung up. Who has its number may have told so of another, an instant ago."""
        poll = select.poll()
        poll.register(self.client, select.POLLRDHUP)
        self.is_over = bool(poll.poll(0))

    def look(self, silence_s: float) -> None:
        """Say that we are here, where nothing was said for so long."""
        is_silent = time.monotonic() - self._heard_at >= silence_s
        if is_silent and self.waits_for_engine and self._is_between_events:
            self._heard_at = time.monotonic()
            self._send(self._framed(SIGN_OF_LIFE))

    def close(self) -> None:
        self.answer.close()
        self._on_end(self._bytes_sent, self._is_whole and not self._unsent)

    def _pass_on(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        passed = b"".join(map(self.answer.take, self._body.feed(data)))
        if self._body.is_done:
            self._finish(passed + self.answer.end())
        elif self._body.is_garbage:
            self._finish(passed + self.answer.break_off())
        elif passed:
            self._is_between_events = passed.endswith(EVENT_END)
            self._send(self._framed(passed))

    def _finish(self, passed: bytes) -> None:
        self._is_whole = True
        self._send((self._framed(passed) if passed else b"") + (LAST_CHUNK if self._is_chunked else b""))

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data

    def _send(self, data: bytes) -> None:
        try:
            sent = self.client.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.is_over = True
            return
        self._bytes_sent += sent
        self._unsent = data[sent:]
        self.is_over = self._is_whole and not self._unsent


class Pump:
    """`carry` may be called from any thread."""

    def __init__(self, *, silence_s: float = SILENCE_S) -> None:
        self._silence_s = silence_s
        self._look_every_s = min(LOOK_EVERY_S, silence_s / 2)
        self._lock = threading.Lock()
        self._epoll: select.epoll | None = None
        self._streams: dict[int, Stream] = {}

    def carry(self, stream: Stream) -> None:
        """Take it from here to its end. What has come already goes at once, from the thread that has it."""
        with self._lock:
            if self._epoll is None:
                self._epoll = select.epoll()
                threading.Thread(target=self._run, args=(self._epoll,), name="pump", daemon=True).start()
            self._epoll.register(stream.client, LEAVES)
            self._streams[stream.numbers[1]] = stream
            self._step(self._epoll, stream, Stream.begin)

    def _run(self, epoll: select.epoll) -> None:
        looked_at = time.monotonic()
        while True:
            for number, events in epoll.poll(self._look_every_s):
                with self._lock:
                    # Where a stream has just ended, its number may be another's by now, which is only asked once more.
                    if (stream := self._streams.get(number)) is not None:
                        self._step(epoll, stream, _step_for(stream, number, events))
            if time.monotonic() - looked_at >= self._look_every_s:
                looked_at = time.monotonic()
                with self._lock:
                    for stream in set(self._streams.values()):
                        self._step(epoll, stream, lambda stream: stream.look(self._silence_s))

    def _step(self, epoll: select.epoll, stream: Stream, step: Callable[[Stream], None]) -> None:
        try:
            step(stream)
        except Exception:
            log.exception("a stream was given up")
            stream.is_over = True
        if stream.is_over:
            self._end(epoll, stream)
            return
        # Asked about a stream that is not read, the kernel would tell over and over that vLLM has hung up.
        if stream.is_read != stream.waits_for_engine:
            stream.is_read = not stream.is_read
            if stream.is_read:
                epoll.register(stream.answer.engine_socket, select.EPOLLIN)
                self._streams[stream.numbers[0]] = stream
            else:
                epoll.unregister(stream.numbers[0])
        if stream.is_written != stream.waits_for_client:
            stream.is_written = not stream.is_written
            epoll.modify(stream.client, LEAVES | (select.EPOLLOUT if stream.is_written else 0))

    def _end(self, epoll: select.epoll, stream: Stream) -> None:
        for number in stream.numbers:
            self._streams.pop(number, None)
            with contextlib.suppress(OSError):
                epoll.unregister(number)
        try:
            stream.close()
        except Exception:
            log.exception("a stream could not be closed")


def _step_for(stream: Stream, number: int, events: int) -> Callable[[Stream], None]:
    if number == stream.numbers[0]:
        return Stream.pull
    return Stream.leave if events & LEAVES else Stream.push


# Of this process: gunicorn's worker gives it what the gateway has begun.
pump = Pump()

"""The socket at which the supervisor takes orders. The folder that it lies in lets nobody in but the owner."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from pathlib import Path

from llm_hoster.engine.record.order import ANSWER_TIMEOUT_S, Order, parse_order, read_line

BACKLOG = 16
# Shorter than the asker waits: an order that it has given up, and may repeat, must not be carried out.
JUDGE_TIMEOUT_S = ANSWER_TIMEOUT_S - 1.0
RETRY_S = 0.2


class Control:
    """A thread takes orders down; `carry_out` answers them in the supervisor's own."""

    def __init__(self, path: Path, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._orders: queue.SimpleQueue[tuple[Order, Future[str | None]]] = queue.SimpleQueue()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(BACKLOG)
        self._is_closed = False
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def carry_out(self, judge: Callable[[Order], str | None]) -> None:
        """Give each order that has come to `judge`, which gives None or the sentence that refuses it."""
        with contextlib.suppress(queue.Empty):
            while True:
                order, answer = self._orders.get_nowait()
                if answer.set_running_or_notify_cancel():
                    answer.set_result(judge(order))

    def close(self) -> None:
        self._is_closed = True
        # Closing alone would not wake the thread.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        while not self._is_closed:
            try:
                connection, _ = self._listener.accept()
                # One that says nothing must not keep the others waiting.
                threading.Thread(target=self._answer, args=(connection,), name="order", daemon=True).start()
            except (OSError, RuntimeError):
                # Too many open files or threads, which passes; or an asker that has gone.
                time.sleep(RETRY_S)

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError, TimeoutError):
            connection.settimeout(ANSWER_TIMEOUT_S)
            order = parse_order(read_line(connection))
            answer: Future[str | None] = Future()
            self._orders.put((order, answer))
            self._notify()
            try:
                refusal = answer.result(JUDGE_TIMEOUT_S)
            except TimeoutError:
                answer.cancel()
                raise
            connection.sendall(json.dumps(refusal).encode() + b"\n")

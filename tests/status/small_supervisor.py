"""What takes orders in a supervisor, without an engine: the real socket, and a judge that writes orders down."""

from __future__ import annotations

import threading
from pathlib import Path

from llm_hoster.engine.record.order import Order
from llm_hoster.engine.record.state import State, write_state
from llm_hoster.engine.supervision.control import Control
from llm_hoster.settings import WebSettings


class SmallSupervisor:
    """`refusal` is what it answers; `after` is the state that it writes when it takes an order."""

    def __init__(self, settings: WebSettings, *, refusal: str | None = None, after: State | None = None) -> None:
        self.orders: list[Order] = []
        self._refusal = refusal
        self._after = after
        self._state_path: Path = settings.state_path
        self._news = threading.Semaphore(0)
        self._is_closed = False
        self._control = Control(settings.control_path, self._news.release)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def close(self) -> None:
        self._is_closed = True
        self._news.release()
        self._thread.join()
        self._control.close()

    def _work(self) -> None:
        while not self._is_closed:
            self._news.acquire()
            self._control.carry_out(self._judge)

    def _judge(self, order: Order) -> str | None:
        self.orders.append(order)
        if self._after is not None:
            write_state(self._state_path, self._after)
        return self._refusal

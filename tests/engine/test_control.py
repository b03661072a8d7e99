"""Orders that come when files are few, when the supervisor is busy, and twice."""

from __future__ import annotations

import json
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.engine.record.order import ANSWER_TIMEOUT_S, Order, give
from llm_hoster.engine.supervision import control as control_module
from llm_hoster.engine.supervision.control import Control
from llm_hoster.errors import EngineError
from tests.engine.conftest import wait_until

ORDER = b'{"kind": "restart", "values": {}}\n'


@pytest.fixture
def control(short_dir: Path) -> Iterator[Control]:
    control = Control(short_dir / "control.sock", lambda: None)
    yield control
    control.close()


def give_in_thread(path: Path, order: Order) -> tuple[threading.Thread, list[str]]:
    refusals: list[str] = []

    def ask() -> None:
        try:
            give(path, order)
        except EngineError as error:
            refusals.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, refusals


def carry_out_until(control: Control, judge: Callable[[Order], str | None], is_over: Callable[[], bool]) -> None:
    def is_over_now() -> bool:
        control.carry_out(judge)
        return is_over()

    wait_until(is_over_now, 10)


def test_an_order_is_answered_with_its_refusal(control: Control, short_dir: Path) -> None:
    thread, refusals = give_in_thread(short_dir / "control.sock", Order("stop"))
    carry_out_until(control, lambda order: f"not {order.kind}", lambda: not thread.is_alive())
    assert refusals == ["not stop"]


def test_an_order_that_its_asker_has_given_up_is_not_carried_out(
    control: Control, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hears nothing asks again: then it would be done twice."""
    assert control_module.JUDGE_TIMEOUT_S < ANSWER_TIMEOUT_S
    monkeypatch.setattr(control_module, "JUDGE_TIMEOUT_S", 0.3)
    thread, refusals = give_in_thread(short_dir / "control.sock", Order("restart"))
    thread.join(5)
    assert refusals == ["The session's supervisor does not answer. It may be ending; look at its card."]

    judged: list[Order] = []
    monkeypatch.setattr(control_module, "JUDGE_TIMEOUT_S", 5.0)
    thread, refusals = give_in_thread(short_dir / "control.sock", Order("restart"))
    carry_out_until(control, judged.append, lambda: not thread.is_alive())
    assert (len(judged), refusals) == (1, [])


def test_the_time_for_an_answer_is_longer_than_a_stop_of_vllm() -> None:
    """The supervisor waits 8 s for vLLM to end, and a second after it has killed it."""
    assert control_module.JUDGE_TIMEOUT_S > 8.0 + 1.0


def test_orders_are_taken_again_when_there_are_files_again(control: Control, short_dir: Path) -> None:
    askers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The lowest number that is free: nothing can be opened any more.
    free = os.dup(0)
    os.close(free)
    began = time.process_time()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        for asker in askers:
            asker.settimeout(10)
            asker.connect(str(short_dir / "control.sock"))
            asker.sendall(ORDER)
        time.sleep(0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert time.process_time() - began < 0.1
    judged: list[Order] = []
    carry_out_until(control, judged.append, lambda: len(judged) == len(askers))
    for asker in askers:
        with asker:
            assert json.loads(asker.recv(100)) is None


def test_the_thread_ends_when_it_is_closed(short_dir: Path) -> None:
    Control(short_dir / "control.sock", lambda: None).close()
    wait_until(lambda: "orders" not in [thread.name for thread in threading.enumerate()], 5)

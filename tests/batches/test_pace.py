"""How many lines may be asked at a time."""

from __future__ import annotations

from llm_hoster.batches.pace import BESIDE_OTHERS, MAX, START, Pace
from llm_hoster.status.gauges import EngineGauges


def gauges(running: int, waiting: int = 0) -> EngineGauges:
    return EngineGauges(running, waiting, None, None, 0.0, None)


def test_alone_it_grows_up_to_the_most() -> None:
    pace = Pace()
    seen = []
    for _ in range(6):
        seen.append(pace.allowed)
        pace.look(gauges(pace.allowed), pace.allowed)

    assert seen[:3] == [START, 2 * START, 4 * START] and seen[-1] == MAX


def test_beside_others_few_are_asked_and_none_while_these_wait() -> None:
    pace = Pace()
    for _ in range(6):
        pace.look(gauges(0), 0)

    pace.look(gauges(3), 0)
    assert pace.allowed == BESIDE_OTHERS
    pace.look(gauges(3 + BESIDE_OTHERS, 2), BESIDE_OTHERS)
    assert pace.allowed == 0
    pace.look(gauges(3), 0)
    pace.look(gauges(3), 0)
    assert 0 < pace.allowed <= BESIDE_OTHERS


def test_what_only_waits_in_the_engine_is_not_asked() -> None:
    pace = Pace()
    pace.look(gauges(10, 30), 40)

    assert pace.allowed == 10


def test_lines_that_have_just_ended_are_not_taken_for_others() -> None:
    pace = Pace()
    pace.look(gauges(40), 40)
    pace.look(gauges(40), 0)  # The figures are older than our own.

    assert pace.allowed > BESIDE_OTHERS


def test_an_engine_that_says_nothing_is_asked_one_at_a_time() -> None:
    pace = Pace()
    pace.look(None, 4)

    assert pace.allowed == 1

"""Who has used a session in the last minutes."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from llm_hoster.status.vitals import Others, others_of
from llm_hoster.usage.people import RECENT_S, People, Use
from llm_hoster.usage.record import CHAT_ROUTE, RequestRecord
from llm_hoster.usage.recorder import Recorder

RECORD = RequestRecord(1.0, "r", "key-ada", "Ada", "tiny", "/v1/chat/completions", True, "")
CHAT = replace(RECORD, route=CHAT_ROUTE)
ADA, ADA_IN_CHAT = Use("key-ada", "Ada", False), Use("key-ada", "Ada", True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_somebody_is_on_while_a_request_runs_and_for_some_minutes_after(clock: list[float]) -> None:
    people = People()
    people.begin(RECORD)
    clock[0] += 10 * RECENT_S
    assert people.recent() == [ADA]
    people.end(RECORD)
    clock[0] += RECENT_S - 1
    assert people.recent() == [ADA]
    clock[0] += 2
    assert people.recent() == []


def test_the_latest_stands_first_and_chat_and_programs_apart(clock: list[float]) -> None:
    people = People()
    for record in (RECORD, CHAT, CHAT):
        clock[0] += 1
        people.begin(record)
    people.end(CHAT)
    assert people.recent() == [ADA_IN_CHAT, ADA]


def test_the_recorder_tells_of_each_request_whatever_its_end(recorder: Recorder) -> None:
    opened = [recorder.begin(replace(RECORD, key_id=f"key-{name}", key_name=name)) for name in ("a", "b")]
    assert [use.name for use in recorder.people.recent()] == ["b", "a"]
    opened[0].settle(200)
    opened[1].forget()
    assert [use.name for use in recorder.people.recent()] == ["b", "a"]
    assert not +recorder.people._running


@pytest.mark.parametrize(
    ("key_id", "others"),
    [
        ("owner", Others(2, ("Ada", "Ben"), has_own_scripts=True)),
        ("key-ada", Others(2)),  # The owner and Ben.
        ("key-cleo", Others(3)),
    ],
)
def test_the_owner_is_told_names_and_a_guest_a_number(key_id: str, others: Others) -> None:
    uses = [
        ADA, ADA_IN_CHAT, Use("key-ben", "Ben", True), Use("owner", "owner", True), Use("owner", "owner", False),
    ]  # fmt: skip
    assert others_of(uses, key_id) == others


def test_the_owners_own_chat_is_nobody_else() -> None:
    assert others_of([Use("owner", "owner", True)], "owner") == Others(0)

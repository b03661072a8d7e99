"""Limits of keys, fair shares, and wrong keys."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter

import pytest

from llm_hoster.api_keys.api_key import ApiKey, Limits, owner_key
from llm_hoster.capacity import REQUESTS_MAX, REQUESTS_PER_ADDRESS_MAX, REQUESTS_PER_KEY_MAX, THREADS
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.admission import Admission
from llm_hoster.gateway.guesses import ADDRESSES_MAX, WRONG_PER_MIN, Guesses

OWNER = owner_key("secret")
HERE = "10.0.0.1"


class Spent(Counter[str]):
    def tokens_of(self, key_id: str) -> int:
        return self[key_id]


def key(name: str = "ada", **limits: int) -> ApiKey:
    return ApiKey(f"key-{name}", name, "", created_at=0.0, limits=Limits(**limits))


def refusal(admission: Admission, who: ApiKey, address: str = HERE) -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        admission.admit(who, address)
    assert caught.value.status == 429
    return caught.value


def go_on(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + seconds)


def test_a_key_sends_its_requests_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    admission, ada = Admission(Spent()), key(requests_per_min=2)
    for _ in range(2):
        admission.admit(ada, HERE).release()

    refused = refusal(admission, ada)
    admission.admit(OWNER, HERE)
    go_on(monkeypatch, 61)

    assert "may send 2 requests" in refused.message
    assert refused.code == "rate_limit_exceeded"
    assert 55 <= (refused.retry_after_s or 0) <= 60
    admission.admit(ada, HERE)


def test_a_key_uses_its_tokens_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    admission, ada = Admission(Spent()), key(tokens_per_min=100)
    admission.charge(ada.id, 99)
    admission.admit(ada, HERE)
    admission.charge(ada.id, 1)

    assert "has used 100" in refusal(admission, ada).message
    go_on(monkeypatch, 61)
    admission.admit(ada, HERE)


def test_a_key_has_its_tokens_once_in_this_and_the_sessions_before(monkeypatch: pytest.MonkeyPatch) -> None:
    ada = key(total_tokens=100)
    admission = Admission(Spent({ada.id: 60}))
    admission.charge(ada.id, 39)
    admission.admit(ada, HERE)
    admission.charge(ada.id, 1)
    go_on(monkeypatch, 10_000)

    refused = refusal(admission, ada)
    assert (refused.code, refused.retry_after_s) == ("insufficient_quota", None)


def test_a_key_has_so_many_requests_at_the_same_time() -> None:
    admission, ada = Admission(Spent()), key(concurrent=2)
    places = [admission.admit(ada, HERE) for _ in range(2)]

    refused = refusal(admission, ada)
    places[0].release()
    places[0].release()  # Whichever end comes second changes nothing.

    assert (refused.code, refused.retry_after_s) == ("rate_limit_exceeded", 1)
    admission.admit(ada, HERE)
    assert admission.running() == {ada.id: 2}
    refusal(admission, ada)


def test_nobody_takes_all_and_the_pages_keep_some() -> None:
    admission = Admission(Spent())
    for _ in range(REQUESTS_PER_KEY_MAX):
        admission.admit(OWNER, HERE)
    assert "'owner'" in refusal(admission, OWNER).message
    for _ in range(REQUESTS_PER_ADDRESS_MAX - REQUESTS_PER_KEY_MAX):
        admission.admit(key(), HERE)
    assert HERE in refusal(admission, key()).message
    for _ in range(REQUESTS_MAX - REQUESTS_PER_ADDRESS_MAX):
        admission.admit(key(), "10.0.0.2")
    assert "This session" in refusal(admission, key("bob"), "10.0.0.3").message
    assert REQUESTS_PER_KEY_MAX >= 200 or THREADS < 256
    assert THREADS - REQUESTS_MAX >= THREADS // 10


def test_who_asks_much_stands_behind_who_asks_little() -> None:
    admission, ada, bob = Admission(Spent()), key("ada"), key("bob")
    many = [admission.admit(ada, HERE).priority for _ in range(100)]

    assert many == list(range(100))
    assert admission.admit(bob, HERE).priority == 0


def test_a_keys_priority_stands_above_its_number_of_requests() -> None:
    admission = Admission(Spent())
    high, low = (dataclasses.replace(key(each), priority=each) for each in ("high", "low"))
    many = [admission.admit(high, HERE).priority for _ in range(REQUESTS_PER_KEY_MAX)]

    assert max(many) < admission.admit(OWNER, "10.0.0.2").priority < admission.admit(low, "10.0.0.2").priority


def test_after_some_wrong_keys_an_address_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses = Guesses()
    for _ in range(WRONG_PER_MIN):
        guesses.note(HERE)

    with pytest.raises(HTTPError) as caught:
        guesses.note(HERE)
    guesses.note("10.0.0.2")
    go_on(monkeypatch, 61)
    guesses.note(HERE)

    assert (caught.value.status, caught.value.code) == (429, "too_many_wrong_keys")
    assert 55 <= (caught.value.retry_after_s or 0) <= 61


def test_wrong_keys_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    guesses = Guesses()
    for _ in range(WRONG_PER_MIN + 5):
        try:
            guesses.note(HERE)
        except HTTPError:
            continue
    assert [HERE in record.getMessage() for record in caplog.records] == [True]


def test_many_addresses_take_little_memory() -> None:
    guesses = Guesses()
    for number in range(ADDRESSES_MAX + 50):
        guesses.note(str(number))
    assert len(guesses._wrong) == ADDRESSES_MAX

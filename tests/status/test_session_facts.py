"""The head of the page: time left and SU."""

from __future__ import annotations

import pytest

from llm_hoster.engine.balance import BalanceWatch
from llm_hoster.status.page import duration_in_words, session_facts
from tests.web_session import MakeClient, MakeSettings, ready_state


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 min"),
        (30, "less than 1 min"),
        (61, "1 min"),
        (3599, "59 min"),
        (3600, "1 h 00 min"),
        (11530, "3 h 12 min"),
    ],
)
def test_a_duration_is_told_in_words(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


def test_su_grow_with_the_jobs_time_and_end_with_it(make_settings: MakeSettings) -> None:
    settings = make_settings(started_at=1000.0, ends_at=1000.0 + 4 * 3600, su_per_hour=100.0)

    assert session_facts(settings, ready_state(), 1000.0 + 5400).su_so_far == "150.0"
    assert session_facts(settings, ready_state(), 1e9).su_so_far == "400.0"


def test_the_last_ten_minutes_are_marked(make_settings: MakeSettings) -> None:
    settings = make_settings(started_at=0.0, ends_at=3600.0)

    assert session_facts(settings, ready_state(), 3001.0).is_ending
    assert not session_facts(settings, ready_state(), 2999.0).is_ending


def test_the_page_shows_model_gpu_time_and_su(make_client: MakeClient) -> None:
    html = make_client().get("/").get_data(as_text=True)

    for text in ("Tiny model", "No GPU", "3 h 00 min", "108.6"):
        assert text in html


def test_the_page_shows_what_the_account_has_left_where_the_site_tells_it(make_client: MakeClient) -> None:
    client = make_client()
    settings = client.application.extensions["llm_hoster"]["settings"]
    assert "SU left" not in client.get("/").get_data(as_text=True)

    BalanceWatch(["/bin/echo", "123456.78"], "ucb1_asc1", settings.runtime_dir).look()
    assert "<dt>SU left in the account</dt><dd>123,456.8</dd>" in client.get("/session").get_data(as_text=True)

    BalanceWatch(["/bin/false"], "ucb1_asc1", settings.runtime_dir).look()
    assert "SU left" not in client.get("/session").get_data(as_text=True)

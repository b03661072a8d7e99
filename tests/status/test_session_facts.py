"""The head of the page: time left and SU."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from llm_hoster.engine.job.balance import BalanceWatch
from llm_hoster.engine.record.state import ServedModel, State, write_state
from llm_hoster.status.page import duration_in_words, session_facts
from tests.web_session import MakeClient, MakeSettings, ready_state, starting_state


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


def test_the_last_fifteen_minutes_are_marked(make_settings: MakeSettings) -> None:
    settings = make_settings(started_at=0.0, ends_at=3600.0)

    assert session_facts(settings, ready_state(), 2701.0).is_ending
    assert not session_facts(settings, ready_state(), 2699.0).is_ending


def test_a_limit_that_slurm_has_changed_counts(make_settings: MakeSettings) -> None:
    settings = make_settings(started_at=0.0, ends_at=3600.0, su_per_hour=100.0)
    state = ready_state(job_ends_at=7200.0)

    facts = session_facts(settings, state, 3600.0)

    assert (facts.time_left, facts.su_so_far, facts.is_ending) == ("1 h 00 min", "100.0", False)
    assert session_facts(settings, state, 9000.0).su_so_far == "200.0"


def test_the_head_names_the_model_that_is_served_now(make_client: MakeClient) -> None:
    state = ready_state(model=ServedModel("qwen3-32b", "Qwen3 32B"))

    html = make_client(state=state).get("/session").get_data(as_text=True)

    assert "Qwen3 32B" in html
    assert "Tiny model" not in html


def test_the_head_says_how_the_gpus_are_shared_out(make_client: MakeClient) -> None:
    together = make_client(state=ready_state(), gpu_title="NVIDIA H200").get("/session").get_data(as_text=True)
    state = ready_state(model=ServedModel("tiny", "Tiny model", "2 replicas, each on 1 GPU"))
    shared = make_client(state=state, gpu_title="NVIDIA H200").get("/session").get_data(as_text=True)

    assert "<dd>NVIDIA H200</dd>" in together
    assert "<dd>NVIDIA H200, 2 replicas, each on 1 GPU</dd>" in shared


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ready_state(), None),
        (ready_state(state="restarting", restarts=1), "starting again, started again once"),
        (ready_state(state="degraded"), "slow to answer"),
        (ready_state(restarts=3), "started again 3 times"),
    ],
)
def test_the_head_says_how_the_engine_is_where_that_is_worth_a_word(
    make_client: MakeClient, state: State, words: str | None
) -> None:
    html = make_client(state=state).get("/session").get_data(as_text=True)

    assert ("<dt>Engine</dt>" in html) == (words is not None)
    assert words is None or f">{words}</dd>" in html


def refresh_address(html: str) -> str:
    """Where the head of a page asks for itself again."""
    found = re.search(r'id="session"[^>]*hx-get="([^"]+)"', html)
    assert found is not None
    return unescape(found[1])


def test_a_page_that_shows_all_of_it_already_gets_nothing(make_client: MakeClient) -> None:
    client = make_client()
    address = refresh_address(client.get("/").get_data(as_text=True))

    assert client.get(address).status_code == 204

    write_state(state_path_of(client), ready_state(model=ServedModel("other", "Another")))
    response = client.get(address)
    assert (response.status_code, "Another" in response.get_data(as_text=True)) == (200, True)
    assert 'id="notices"' not in response.get_data(as_text=True)
    assert "HX-Trigger" not in response.headers


def test_a_page_that_shows_another_state_of_the_engine_is_told_to_look(make_client: MakeClient) -> None:
    client = make_client()
    address = refresh_address(client.get("/").get_data(as_text=True))
    write_state(state_path_of(client), starting_state())

    response = client.get(address)

    assert response.headers["HX-Trigger"] == "engine-changed"
    assert client.get(refresh_address(response.get_data(as_text=True))).status_code == 204


def state_path_of(client: FlaskClient) -> Path:
    path: Path = client.application.extensions["llm_hoster"]["settings"].state_path
    return path


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

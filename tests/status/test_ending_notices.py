"""What every page says when the end of the session is near."""

from __future__ import annotations

import json
import re
import time
from html import unescape
from pathlib import Path

import pytest

from llm_hoster.engine.record.state import write_state
from llm_hoster.status.ending_notice import ending_notices
from tests.conftest import MakeCatalogue
from tests.web_session import MakeClient, MakeSettings, ready_state

HTMX = {"HX-Request": "true"}


@pytest.mark.parametrize(
    ("left_s", "minutes"), [(901, None), (899, 15), (301, 15), (299, 5), (61, 5), (59, 1), (-5, 1)]
)
def test_the_time_limit_is_announced_at_fifteen_five_and_one_minutes(
    make_settings: MakeSettings, left_s: float, minutes: int | None
) -> None:
    warning = ending_notices(make_settings(ends_at=1000.0 + left_s), ready_state(), 1000.0, None).time_warning

    assert (warning.minutes if warning else None) == minutes


def test_what_slurm_says_now_counts_more_than_what_it_said_at_the_start(make_settings: MakeSettings) -> None:
    settings = make_settings(ends_at=1e9)

    assert ending_notices(settings, ready_state(job_ends_at=1200.0), 1000.0, None).time_warning is not None
    assert ending_notices(settings, ready_state(job_ends_at=9e9), 1e9, None).time_warning is None


@pytest.mark.parametrize(
    ("left_s", "text"),
    [
        (118, "Nobody has asked anything for 28 minutes. The session stops in about 2 minutes to spare your"),
        (75, "Nobody has asked anything for 29 minutes. The session stops in about 1 minute to spare your"),
        (20, "Nobody has asked anything for 29 minutes. The session stops in less than a minute to spare your"),
    ],
)
def test_before_an_idle_session_stops_it_asks(make_settings: MakeSettings, left_s: float, text: str) -> None:
    state = ready_state(idle_ends_at=1000.0 + left_s)

    question = ending_notices(make_settings(), state, 1000.0, 1800.0).idle_question

    assert question is not None
    assert question.text.startswith(text)


@pytest.mark.parametrize("idle_s", [None, 60.0])
def test_where_the_minutes_are_not_known_or_none_the_question_names_no_number(
    make_settings: MakeSettings, idle_s: float | None
) -> None:
    question = ending_notices(make_settings(), ready_state(idle_ends_at=1030.0), 1000.0, idle_s).idle_question

    assert question is not None and question.text.startswith("Nobody has asked anything for a while.")


@pytest.mark.parametrize("state", ["starting", "failed", "stopping"])
def test_nobody_is_asked_while_nothing_can_be_asked(make_settings: MakeSettings, state: str) -> None:
    assert ending_notices(make_settings(), ready_state(state=state, idle_ends_at=1e12), 1.0, 60.0).idle_question is None


def test_a_session_that_is_ending_needs_no_warning(make_settings: MakeSettings) -> None:
    assert ending_notices(make_settings(ends_at=5.0), ready_state(state="stopping"), 1.0, None).time_warning is None


@pytest.mark.parametrize("path", ["/", "/connect", "/engine"])
def test_every_page_shows_them_without_script(make_client: MakeClient, path: str) -> None:
    client = make_client(state=ready_state(job_ends_at=time.time() + 200, idle_ends_at=time.time() + 100))

    html = client.get(path).get_data(as_text=True)

    assert "<title>Still there? · " in html
    assert "This session ends in less than 5 minutes" in html
    assert '<form method="post" action="/engine/stay"' in html
    assert "Keep it running" in html


def test_how_long_nobody_asked_is_counted_from_the_launch(
    make_client: MakeClient, make_catalogue: MakeCatalogue, tmp_path: Path
) -> None:
    values = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1", "idle_minutes": "45"}
    (tmp_path / "session.json").write_text(json.dumps({"context": values, "catalogue": make_catalogue()}))

    html = make_client(state=ready_state(idle_ends_at=time.time() + 119)).get("/").get_data(as_text=True)

    assert "Nobody has asked anything for 43 minutes." in html


def test_a_stranger_sees_none_of_it(make_client: MakeClient) -> None:
    client = make_client(is_logged_in=False, state=ready_state(job_ends_at=time.time() + 200))

    assert "min left" not in client.get("/").get_data(as_text=True)


def test_an_open_page_is_sent_each_level_once(make_client: MakeClient) -> None:
    client = make_client(state=ready_state(job_ends_at=time.time() + 890))
    state_path = client.application.extensions["llm_hoster"]["settings"].state_path
    address = refresh_address(client.get("/").get_data(as_text=True))

    write_state(state_path, ready_state(job_ends_at=time.time() + 700))
    same_level = client.get(address, headers=HTMX).get_data(as_text=True)
    write_state(state_path, ready_state(job_ends_at=time.time() + 290))
    next_level = client.get(refresh_address(same_level), headers=HTMX).get_data(as_text=True)

    assert "ends in less than" not in same_level
    assert '<div id="notices" hx-swap-oob="innerHTML">' in next_level
    assert "ends in less than 5 minutes" in next_level
    assert client.get(refresh_address(next_level), headers=HTMX).status_code == 204


def test_only_what_is_urgent_interrupts_a_reader(make_client: MakeClient) -> None:
    def alerts(left_s: float) -> int:
        client = make_client(state=ready_state(job_ends_at=time.time() + left_s))
        notices = client.get("/").get_data(as_text=True).partition('id="notices"')[2].partition('id="lost"')[0]
        return notices.count('role="alert"')

    assert [alerts(800), alerts(200), alerts(30)] == [0, 0, 1]


def refresh_address(html: str) -> str:
    found = re.search(r'id="session"[^>]*hx-get="([^"]+)"', html)
    assert found is not None
    return unescape(found[1])

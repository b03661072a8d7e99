"""What the page says while the engine comes up, and when it has failed."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from llm_hoster.engine.record.adjustment import Adjustment
from llm_hoster.engine.record.state import Remedy, Step, write_state
from llm_hoster.status.engine_notice import remaining_in_words
from llm_hoster.status.relaunch import relaunch_path
from llm_hoster.status.start_up import PROGRESS_PARTS, entry_mark, progress
from tests.web_session import PORTAL, MakeClient, ready_state, starting_state

CHAT = "a" * 32
POLLED = 'hx-trigger="every 2s'
STAGED = Path("/home/r/ondemand/data/sys/dashboard/batch_connect/sys/llm_hoster/output/0a1b")


def show(client: FlaskClient) -> str:
    return client.get("/").get_data(as_text=True)


def put(client: FlaskClient, **changes: object) -> None:
    write_state(client.application.extensions["llm_hoster"]["settings"].state_path, ready_state(**changes))


def entry_address(html: str) -> str:
    found = re.search(r'id="entry" hx-get="([^"]+)"', html)
    assert found is not None
    return unescape(found[1])


def test_the_steps_are_shown_with_their_seconds_and_asked_for_again(make_client: MakeClient) -> None:
    html = show(make_client(state=starting_state()))

    assert "Starting vLLM" in html
    assert "12 s" in html
    assert "Reading the weights" in html
    assert POLLED in html
    assert 'id="composer"' not in html


def test_a_step_says_how_far_it_is_and_what_it_took_before(make_client: MakeClient) -> None:
    steps = (
        Step("weights", "Load the weights", 41.2, "running", "9.1 of 15.0 GiB, 230 MB/s", 65.4),
        Step("compile", "Compile the model", None, "waiting", "", 39.7),
    )

    html = show(make_client(state=ready_state(state="starting", steps=steps, remaining_s=64.0)))

    assert "9.1 of 15.0 GiB, 230 MB/s" in html
    assert '<span data-counting="41.2">41</span> s of about 65 s' in html
    assert "about 40 s" in html
    assert "About a minute is left (from earlier starts)." in html


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.0, "Less than a minute"),
        (89.0, "About a minute"),
        (90.0, "About 2 minutes"),
        (170.0, "3 minutes"),
    ],
)
def test_what_is_left_is_said_only_where_earlier_starts_tell(seconds: float | None, words: str) -> None:
    said = remaining_in_words(ready_state(state="starting", remaining_s=seconds))

    assert words in said
    assert bool(said) == bool(words)


def test_a_step_that_takes_longer_than_ever_is_said_to() -> None:
    late = Step("weights", "Load the weights", 500.0, "running", "", 60.0)

    said = remaining_in_words(ready_state(state="starting", steps=(late,), remaining_s=None))

    assert said == "This step takes longer than in earlier starts."


def test_the_bar_waits_for_a_slow_step_and_is_full_at_the_end_only() -> None:
    def steps(seconds: float, status: str) -> tuple[Step, ...]:
        return (
            Step("weights", "Weights", seconds, status, "", 10.0),  # type: ignore[arg-type]
            Step("ready", "Ready", None, "waiting", "", 30.0),
        )

    assert [progress(steps(seconds, "running")) for seconds in (0.0, 4.0, 10.0, 500.0)] == [0, 2, 5, 5]
    assert progress(steps(500.0, "done")) == 5
    assert progress((Step("a", "A", 3.0, "done", "", 2.0),)) == PROGRESS_PARTS
    assert progress((*steps(1.0, "running"), Step("b", "B", None, "waiting"))) is None


def test_seconds_alone_are_not_sent_again_and_anything_else_is(make_client: MakeClient) -> None:
    client = make_client(state=starting_state())
    address = entry_address(show(client))
    steps = starting_state().steps
    assert client.get(address).status_code == 204

    put(client, state="starting", steps=(steps[0], Step("weights", "Reading the weights", 9.0, "running")))
    assert client.get(address).status_code == 204

    put(client, state="starting", steps=(steps[0], Step("weights", "Reading the weights", 9.0, "running", "3 GiB")))
    assert "3 GiB" in client.get(address).get_data(as_text=True)


def test_when_the_model_is_ready_the_composer_takes_the_place_of_the_steps(make_client: MakeClient) -> None:
    client = make_client(state=starting_state())
    put(client)

    response = client.get(f"/status?chat={CHAT}&seen={entry_mark(starting_state())}", headers={"HX-Request": "true"})

    html = response.get_data(as_text=True)
    assert '<form id="composer"' in html
    assert f"/chat/{CHAT}/messages" in html
    assert POLLED not in html
    assert response.headers["HX-Trigger"] == "engine-changed"
    assert client.get(entry_address(html)).status_code == 204


def test_an_engine_that_is_slow_to_answer_leaves_the_message_box_alone(make_client: MakeClient) -> None:
    client = make_client()
    address = entry_address(show(client))

    put(client, state="degraded", cause="No token for 30 s.")

    assert client.get(address).status_code == 204
    assert 'id="composer"' in show(client)


@pytest.mark.parametrize(
    ("state", "cause", "title", "said"),
    [
        ("restarting", "The engine was killed.", "The engine is being started again", "The engine was killed."),
        ("restarting", None, "The engine is being started again", "The engine ended unexpectedly."),
        ("switching", "Qwen3 is asked for.", "The session is changing its model", "Qwen3 is asked for."),
    ],
)
def test_coming_up_again_is_shown_with_its_cause(
    make_client: MakeClient, state: str, cause: str | None, title: str, said: str
) -> None:
    html = show(make_client(state=ready_state(state=state, cause=cause, steps=starting_state().steps)))

    for text in (title, said, "Reading the weights", POLLED):
        assert text in html


def test_while_the_engine_before_writes_its_last_answers_its_steps_are_not_shown(make_client: MakeClient) -> None:
    steps = (Step("weights", "Reading the weights", 3.0, "done"),)

    html = show(make_client(state=ready_state(state="switching", steps=steps)))

    assert "Answers that are being written may come to their end first." in html
    assert "Reading the weights" not in html


def test_a_failed_start_says_why_and_where_the_log_lies(make_client: MakeClient) -> None:
    failed = ready_state(
        state="failed", cause="The model does not fit.", deciding_line="ValueError: <No> memory", log="/staged/vllm.log"
    )

    html = show(make_client(state=failed))

    assert "The model does not fit." in html
    assert "ValueError: &lt;No&gt; memory" in html
    assert "/staged/vllm.log" in html
    assert POLLED not in html


def test_a_failure_offers_its_remedy_and_always_another_try_and_the_end(make_client: MakeClient) -> None:
    remedy = Remedy("Restart with a context of 18,432 tokens", Adjustment(max_model_len=18432))

    with_remedy = show(make_client(state=ready_state(state="failed", remedy=remedy)))
    without = show(make_client(state=ready_state(state="failed")))

    assert '<button name="remedy" value="1">Restart with a context of 18,432 tokens</button>' in with_remedy
    assert 'name="remedy"' not in without
    for html in (with_remedy, without):
        assert "Start again as launched" in html
        assert '<form method="post" action="/engine/restart"' in html
        assert "End the session now" in html
        assert re.search(r"It leaves 325\.[0-9] SU unspent|It leaves 326\.[0-9] SU unspent", html)


def test_before_the_supervisors_first_word_the_engine_is_starting(make_client: MakeClient) -> None:
    client = make_client()
    client.application.extensions["llm_hoster"]["settings"].state_path.unlink()

    html = show(client)

    assert "The model is loading" in html
    assert "Tiny model" in html


def test_a_message_sent_while_the_model_loads_is_answered_with_the_step(make_client: MakeClient) -> None:
    response = make_client(state=starting_state()).post(f"/chat/{CHAT}/messages", data={"message": "Hello"})

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "The model is still loading (Reading the weights)." in response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("staged_root", "app"),
    [
        (STAGED, "sys/llm_hoster"),
        (Path("/d/batch_connect/alpine/sys/llm_hoster/output/0a1b"), "sys/llm_hoster"),
        (Path("/d/batch_connect/dev/hoster/gpu/output/0a1b"), "dev/hoster/gpu"),
        (Path("/d/batch_connect/usr/ann/hoster/output/0a1b"), "usr/ann/hoster"),
        (Path("/tmp/elsewhere/0a1b"), None),
    ],
)
def test_the_way_back_leads_to_the_form_with_the_choices_of_this_session(staged_root: Path, app: str | None) -> None:
    expected = f"/pun/sys/dashboard/batch_connect/{app}/session_contexts/new?session_id=0a1b" if app else None

    assert relaunch_path(staged_root) == expected


@pytest.mark.parametrize("state", ["failed", "stopping"])
def test_a_session_that_is_of_no_more_use_shows_the_way_back(make_client: MakeClient, state: str) -> None:
    client = make_client(state=ready_state(state=state), staged_root=STAGED)
    link = 'href="/pun/sys/dashboard/batch_connect/sys/llm_hoster/session_contexts/new?session_id=0a1b"'

    assert link in client.get("/", headers={"X-Forwarded-Host": PORTAL}).get_data(as_text=True)
    assert link not in show(client)  # Past the portal there is no form.

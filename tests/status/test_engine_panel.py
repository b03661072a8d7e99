"""The panel about the engine: how it is, what it has been through, and the end of the session."""

from __future__ import annotations

from llm_hoster.engine.record.state import Transition
from tests.web_session import MakeClient, ready_state

TRANSITIONS = (
    Transition(1_700_000_000.0, "starting", "ready", "vLLM answers after 92.1 s"),
    Transition(1_700_000_500.0, "ready", "restarting", "The core was <killed>."),
    Transition(1_700_000_600.0, "restarting", "ready", None),
)


def test_it_tells_what_happened_the_newest_first(make_client: MakeClient) -> None:
    client = make_client(state=ready_state(transitions=TRANSITIONS, restarts=1))

    html = client.get("/engine", headers={"HX-Request": "true"}).get_data(as_text=True)

    texts = ["The engine was started again.", "The core was &lt;killed&gt;.", "vLLM answers after 92.1 s"]
    assert [html.index(text) for text in texts] == sorted(html.index(text) for text in texts)
    assert '<time datetime="2023-11-14T22:21:40+00:00">' in html
    assert "<dt>Started again</dt><dd>1 time</dd>" in html
    assert "<html" not in html


def test_it_is_a_page_of_its_own_without_script_and_shows_the_gauges(make_client: MakeClient) -> None:
    html = make_client().get("/engine").get_data(as_text=True)

    assert "<h1" in html
    assert 'id="gauges"' in html
    assert 'action="/engine/stop"' in html
    assert "Nothing yet but the start." in html

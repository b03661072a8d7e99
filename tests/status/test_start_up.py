"""What the page says while the engine starts, and when it has failed."""

from __future__ import annotations

from llm_hoster.engine.state import write_state
from tests.web_session import MakeClient, ready_state, starting_state


def test_the_steps_are_shown_with_their_seconds_and_asked_for_again(make_client: MakeClient) -> None:
    html = make_client(state=starting_state()).get("/").get_data(as_text=True)

    assert "Starting vLLM" in html
    assert "12 s" in html
    assert "Reading the weights" in html
    assert 'hx-trigger="every 1s"' in html
    assert 'id="composer"' not in html


def test_when_the_model_is_ready_the_composer_takes_the_place_of_the_steps(make_client: MakeClient) -> None:
    client = make_client(state=starting_state())
    chat = "a" * 32
    write_state(client.application.extensions["llm_hoster"]["settings"].state_path, ready_state())

    response = client.get(f"/status?chat={chat}", headers={"HX-Request": "true"})

    html = response.get_data(as_text=True)
    assert html.strip().startswith('<form id="composer"')
    assert f"/chat/{chat}/messages" in html
    assert "every 1s" not in html
    assert response.headers["HX-Trigger"] == "engine-changed"


def test_a_failed_start_says_why_and_where_the_log_lies(make_client: MakeClient) -> None:
    failed = ready_state(
        state="failed", cause="The model does not fit.", deciding_line="ValueError: <No> memory", log="/staged/vllm.log"
    )

    html = make_client(state=failed).get("/").get_data(as_text=True)

    assert "The model does not fit." in html
    assert "ValueError: &lt;No&gt; memory" in html
    assert "/staged/vllm.log" in html
    assert "every 1s" not in html


def test_before_the_supervisors_first_word_the_engine_is_starting(make_client: MakeClient) -> None:
    client = make_client()
    client.application.extensions["llm_hoster"]["settings"].state_path.unlink()

    assert "The model is loading" in client.get("/").get_data(as_text=True)


def test_a_message_sent_while_the_model_loads_is_answered_with_the_step(make_client: MakeClient) -> None:
    client = make_client(state=starting_state())

    response = client.post(f"/chat/{'a' * 32}/messages", data={"message": "Hello"})

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "The model is still loading (Reading the weights)." in response.get_data(as_text=True)

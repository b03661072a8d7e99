"""A session whose model embeds: lines for programs in the place of the composer, and nothing asks it to write."""

from __future__ import annotations

import pytest

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.status.start_up import entry_mark
from tests.web_session import API_KEY, MakeClient, ready_state, starting_state

EMBEDS = ready_state(model=ServedModel("qwen3-embedding-4b", "Qwen3 <Embedding>", task="embed"))
SENTENCE = (
    "Qwen3 <Embedding> does not write: it turns texts into numbers. Ask it for embeddings (/v1/embeddings), or change "
    "the model of this session."
)
BEARER = {"Authorization": f"Bearer {API_KEY}"}
CHAT = "c" * 32


def test_the_page_has_the_lines_for_programs_and_no_composer(make_client: MakeClient) -> None:
    html = make_client(state=EMBEDS).get("/").get_data(as_text=True)

    assert 'id="composer"' not in html
    assert "Qwen3 &lt;Embedding&gt; does not chat." in html
    assert "/v1/embeddings" in html
    assert "client.embeddings.create(" in html
    assert API_KEY not in html


def test_the_page_of_a_model_that_writes_has_none_of_it(make_client: MakeClient) -> None:
    html = make_client().get("/").get_data(as_text=True)

    assert 'id="composer"' in html
    assert "embeddings" not in html


def test_the_panel_shows_the_lines_for_embeddings(make_client: MakeClient) -> None:
    html = make_client(state=EMBEDS).get("/connect").get_data(as_text=True)

    assert 'value="qwen3-embedding-4b"' in html
    assert "/v1/embeddings" in html
    assert "client.embeddings.create(" in html
    assert "chat/completions" not in html


def test_a_start_promises_no_writing(make_client: MakeClient) -> None:
    html = make_client(state=starting_state()).get("/").get_data(as_text=True)
    assert "You can write as soon as" in html

    html = make_client(state=ready_state(state="starting", model=EMBEDS.model)).get("/").get_data(as_text=True)
    assert "Programs can ask as soon as" in html


def test_a_page_that_missed_the_change_of_the_model_hears_of_it(make_client: MakeClient) -> None:
    client = make_client(state=EMBEDS)

    assert client.get(f"/status?chat={CHAT}&seen={entry_mark(EMBEDS)}").status_code == 204
    assert "does not chat" in client.get(f"/status?chat={CHAT}&seen={entry_mark(ready_state())}").get_data(as_text=True)


def test_a_message_is_refused_with_a_sentence_and_not_kept(make_client: MakeClient) -> None:
    client = make_client(state=EMBEDS)

    response = client.post(f"/chat/{CHAT}/messages", data={"message": "Hello"}, headers={"Accept": "application/json"})

    assert response.status_code == 400
    assert response.get_json()["error"]["message"] == SENTENCE
    assert client.get(f"/chat/{CHAT}").status_code == 404


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_program_that_wants_a_text_hears_what_to_ask_instead(make_client: MakeClient, path: str) -> None:
    response = make_client(state=EMBEDS).post(path, json={"model": "qwen3-embedding-4b"}, headers=BEARER)

    error = {"message": SENTENCE, "type": "invalid_request_error", "param": None, "code": "model_embeds"}
    assert (response.status_code, response.get_json()) == (400, {"error": error})


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/embeddings"), ("GET", "/v1/models")])
def test_all_else_goes_to_the_engine(make_client: MakeClient, method: str, path: str) -> None:
    response = make_client(state=EMBEDS).open(path, method=method, json={}, headers=BEARER)

    assert response.get_json()["error"]["code"] == "engine_unreachable"  # No engine here; nothing was refused before.

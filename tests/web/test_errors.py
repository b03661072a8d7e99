"""How errors are answered, and that they tell nothing of the inside."""

from __future__ import annotations

import json

from tests.web_session import API_KEY, MakeClient


def test_an_unknown_page_is_answered_by_a_page(make_client: MakeClient) -> None:
    response = make_client().get("/no/such/page")

    assert response.status_code == 404
    assert "There is no &#39;/no/such/page&#39; here." in response.get_data(as_text=True)


def test_an_unknown_fragment_is_answered_by_a_fragment(make_client: MakeClient) -> None:
    response = make_client().get("/no/such", headers={"HX-Request": "true"})

    assert response.status_code == 404
    assert response.get_data(as_text=True).startswith('<div id="error"')


def test_a_fault_of_ours_tells_nothing_of_the_inside(make_client: MakeClient) -> None:
    client = make_client()
    client.application.extensions["llm_hoster"]["store"].close()

    response = client.get("/")

    assert response.status_code == 500
    assert "web.log" in response.get_data(as_text=True)
    assert "sqlite" not in response.get_data(as_text=True).lower()


def test_a_fault_of_ours_under_v1_has_the_envelope(make_client: MakeClient) -> None:
    client = make_client()
    client.application.extensions["llm_hoster"].pop("settings")

    response = client.get("/v1/models", headers={"X-Api-Key": API_KEY})

    assert response.status_code == 500
    assert set(json.loads(response.data)["error"]) == {"message", "type", "param", "code"}


def test_healthz_says_that_it_lives_and_nothing_else(make_client: MakeClient) -> None:
    response = make_client(is_logged_in=False).get("/healthz")

    assert (response.status_code, response.data) == (204, b"")

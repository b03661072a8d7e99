"""Who comes in, and that nobody else gets anything."""

from __future__ import annotations

import pytest
from werkzeug.routing import Rule

from tests.web_session import HOST, PASSWORD, PORTAL, MakeClient

OPEN = {"access.log_in", "static", "status.healthz", "language.choose"}
MEMBER = "0" * 32


def path_of(rule: Rule) -> str:
    return rule.rule.replace("<conversation_id>", MEMBER).replace("<reply_id>", MEMBER)


def test_every_route_refuses_a_stranger(make_client: MakeClient) -> None:
    client = make_client(is_logged_in=False)

    answers = {}
    for rule in client.application.url_map.iter_rules():
        if rule.endpoint in OPEN:
            continue
        for method in rule.methods or ():
            answers[f"{method} {rule.rule}"] = client.open(path_of(rule), method=method).status_code

    assert set(answers.values()) == {401}, answers


def test_a_stranger_does_not_even_learn_which_paths_exist(make_client: MakeClient) -> None:
    client = make_client(is_logged_in=False)

    assert client.get("/no/such/path").status_code == 401
    assert client.get("/v1/embeddings").status_code == 401


def test_the_login_page_says_how_to_come_in_and_nothing_of_the_session(make_client: MakeClient) -> None:
    html = make_client(is_logged_in=False).get("/").get_data(as_text=True)

    assert "Connect" in html
    assert 'name="password"' in html
    assert "Tiny model" not in html
    assert HOST not in html


def test_the_secret_gives_a_cookie_that_scripts_and_other_sites_cannot_use(make_client: MakeClient) -> None:
    response = make_client(is_logged_in=False).post("/login", data={"password": PASSWORD})

    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("llm_hoster_8080=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie
    assert PASSWORD not in cookie


def test_the_cookie_is_secure_where_the_portal_speaks_https(make_client: MakeClient) -> None:
    headers = {"X-Forwarded-Host": PORTAL, "X-Forwarded-Proto": "https"}

    response = make_client(is_logged_in=False).post("/login", data={"password": PASSWORD}, headers=headers)

    assert "Secure" in response.headers["Set-Cookie"]


@pytest.mark.parametrize("password", ["", "q" * 32, PASSWORD[:-1], PASSWORD + "p", "ä" * 32])
def test_a_wrong_secret_gives_no_cookie(make_client: MakeClient, password: str) -> None:
    response = make_client(is_logged_in=False).post("/login", data={"password": password})

    assert response.status_code == 401
    assert "Set-Cookie" not in response.headers
    assert "This is neither the secret of this session nor a valid key." in response.get_data(as_text=True)


def test_the_cookie_of_another_session_opens_nothing(make_client: MakeClient) -> None:
    other = make_client(session_id="session-2")
    cookie = other.get_cookie("llm_hoster_8080")
    assert cookie is not None
    client = make_client(is_logged_in=False, session_id="session-3")
    client.set_cookie("llm_hoster_8080", cookie.value)

    assert client.get("/").status_code == 401


def test_logging_out_takes_the_cookie_back(make_client: MakeClient) -> None:
    client = make_client()

    response = client.post("/logout")

    assert "You are logged out" in response.get_data(as_text=True)
    assert client.get("/").status_code == 401


def test_htmx_gets_the_refusal_as_a_fragment(make_client: MakeClient) -> None:
    html = make_client(is_logged_in=False).get("/session", headers={"HX-Request": "true"}).get_data(as_text=True)

    assert html.startswith('<div id="error"')

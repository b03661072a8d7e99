"""Which language a reader has, and how it is chosen."""

from __future__ import annotations

import re

import pytest

from llm_hoster.language import COOKIE
from tests.web_session import API_KEY, MakeClient, ready_state, starting_state

GERMAN = {"Accept-Language": "de"}


def language_of(html: str) -> str:
    found = re.search(r'<html lang="(\w+)">', html)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("wish", "given"),
    [
        (None, "en"),
        ("de", "de"),
        ("de-AT", "de"),
        ("DE-de;q=0.8, en;q=0.7", "de"),
        ("en-GB, de;q=0.9", "en"),
        ("fr, de;q=0.3", "de"),
        ("fr-CH", "en"),
        ("*", "en"),
        ("de;q=0", "en"),
        ("de;q=much, en;q=", "en"),
        ("../../etc/passwd, de\0, ;;;,,=,q", "en"),
        ("de-" + "x" * 7000, "de"),
        ("en;q=0." + "5" * 6000 + ", de", "de"),
        (",".join(["xx"] * 2000) + ",de", "de"),
    ],
)
def test_a_page_is_in_the_language_that_the_browser_asks_for(
    make_client: MakeClient, wish: str | None, given: str
) -> None:
    headers = {} if wish is None else {"Accept-Language": wish}
    assert language_of(make_client().get("/", headers=headers).text) == given


def test_a_choice_is_kept_and_is_worth_more_than_the_browsers_wish(make_client: MakeClient) -> None:
    client = make_client()
    page = client.get("/")
    assert 'value="de" lang="de">Deutsch</button>' in page.text
    assert ">English</button>" not in page.text

    answer = client.post(
        "/language", data={"language": "de"}, headers={"Referer": "http://localhost/connect?at=computer"}
    )

    assert (answer.status_code, answer.headers["Location"]) == (303, "/connect")
    assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in answer.headers["Set-Cookie"].split(";")}
    shown = client.get("/connect", headers={"Accept-Language": "en"}).text
    assert language_of(shown) == "de"
    assert "Programme verbinden" in shown
    client.post("/language", data={"language": "en"})
    assert "Connect your programs" in client.get("/connect", headers=GERMAN).text


@pytest.mark.parametrize(
    "page",
    [
        "https://elsewhere.example.org/",
        "http://localhost//elsewhere.example.org/",
        "http://localhost/login",
        "http://localhost/no/such/page",
        "javascript:alert(1)",
        "http://[",
        "",
    ],
)
def test_a_choice_leads_to_no_page_but_ours(make_client: MakeClient, page: str) -> None:
    answer = make_client().post("/language", data={"language": "de"}, headers={"Referer": page})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_strangers_choose_for_the_login_page_and_learn_nothing_by_it(make_client: MakeClient) -> None:
    client = make_client(is_logged_in=False)

    answer = client.post("/language", data={"language": "de"}, headers={"Referer": "http://localhost/engine"})

    assert answer.status_code == 303
    page = client.get("/")
    assert (page.status_code, language_of(page.text)) == (401, "de")
    assert "Diese Sitzung ist privat" in page.text


@pytest.mark.parametrize("wanted", ["", "fr", "../de", "de\r\nX: y"])
def test_what_is_no_language_of_ours_is_refused(make_client: MakeClient, wanted: str) -> None:
    client = make_client()
    answer = client.post("/language", data={"language": wanted}, headers=GERMAN)

    assert answer.status_code == 400
    assert "Diese Sprache gibt es hier nicht." in answer.text
    client.set_cookie(COOKIE, wanted.replace("\r\n", ""))
    assert language_of(client.get("/").text) == "en"


def test_the_endpoint_and_programs_are_answered_in_english(make_client: MakeClient) -> None:
    client = make_client(state=ready_state(state="failed", cause="A GPU of this node is faulty."))

    answer = client.post("/v1/chat/completions", json={}, headers={"X-Api-Key": API_KEY, **GERMAN})
    assert "The engine has failed. A GPU of this node is faulty." in answer.text
    order = client.post("/engine/stay", headers={"Accept": "application/json", **GERMAN})
    assert "Die " not in order.text


def test_an_error_is_told_in_the_readers_language_with_its_values(make_client: MakeClient) -> None:
    client = make_client()

    page = client.get("/no/such/page", headers=GERMAN)
    fragment = client.post(
        f"/chat/{'a' * 32}/messages", data={"message": "x" * 1_000_001}, headers=GERMAN | {"HX-Request": "true"}
    )

    assert "&#39;/no/such/page&#39; gibt es hier nicht." in page.text
    assert "Die Nachricht hat 1.000.001 Zeichen; höchstens 1.000.000 Zeichen werden angenommen." in fragment.text


def test_the_start_up_and_a_failure_are_told_in_the_readers_language(make_client: MakeClient) -> None:
    starting = make_client(state=starting_state()).get("/", headers=GERMAN).text
    assert "Das Modell lädt" in starting
    cause = "The GPU's memory is too small for this model. Choose a larger GPU type, more GPUs or a smaller model."
    failed = make_client(state=ready_state(state="failed", cause=cause)).get("/", headers=GERMAN).text
    assert "Der GPU-Speicher ist zu klein für dieses Modell." in failed
    assert "Einen größeren GPU-Typ, mehr GPUs oder ein kleineres Modell wählen." in failed


def test_an_english_page_brings_no_sentences_for_scripts(make_client: MakeClient) -> None:
    client = make_client()

    assert 'name="sentences"' not in client.get("/").text
    assert "&#34;Copied&#34;: &#34;Kopiert&#34;" in client.get("/", headers=GERMAN).text

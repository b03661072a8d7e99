"""Guests: who logs in with a key that the owner has made chats, and can do nothing that is the owner's."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from llm_hoster.access.views import GUESTS_ENDPOINTS, OPEN_ENDPOINTS
from llm_hoster.api_keys.api_key import ApiKey, Limits
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.chat.message import Message
from llm_hoster.gateway.guesses import WRONG_PER_MIN
from tests.live_engine import LiveEngine, wait_for
from tests.web_session import API_KEY, MakeClient, ready_state, starting_state

LogIn = Callable[..., FlaskClient]


@pytest.fixture
def new_key(tmp_path: Path) -> Callable[..., str]:
    def make(name: str = "ada", **values: Any) -> str:
        return KeyFolder(tmp_path / "data").create(
            dataclasses.replace(ApiKey(f"key-{name}", name, "", created_at=time.time()), **values)
        )

    return make


def log_in(client: FlaskClient, key: str) -> FlaskClient:
    assert client.post("/login", data={"password": key}).status_code == 303
    return client


def test_a_guest_sees_a_chat_and_nothing_of_the_owners(make_client: MakeClient, new_key: Callable[..., str]) -> None:
    client = log_in(make_client(is_logged_in=False), new_key())

    page = client.get("/").text

    assert "New chat" in page
    for hidden in ("SU so far", "Engine</a>", "/keys/", "change</a>", API_KEY):
        assert hidden not in page
    for hidden in ("SU so far", "Engine</a>", "/keys/", "change</a>"):
        assert hidden in make_client().get("/").text


def test_a_guest_reads_a_long_chat_to_its_beginning(make_client: MakeClient, new_key: Callable[..., str]) -> None:
    client = log_in(make_client(is_logged_in=False), new_key())
    assert client.get(f"/chat/{'c' * 32}/earlier?before=nothing").status_code == 404  # And not 403.


@pytest.mark.parametrize("audit_prompts", [True, False])
def test_a_guest_is_told_where_what_they_ask_is_kept(
    make_client: MakeClient, new_key: Callable[..., str], audit_prompts: bool
) -> None:
    client = log_in(make_client(is_logged_in=False, audit_prompts=audit_prompts), new_key())

    assert ("What you ask is kept for the owner" in client.get("/").text) is audit_prompts


@pytest.mark.parametrize("state", [ready_state(state="failed", deciding_line="line of the log"), starting_state()])
def test_a_guest_is_offered_no_button_that_is_refused(
    make_client: MakeClient, new_key: Callable[..., str], state: Any
) -> None:
    client = log_in(make_client(is_logged_in=False, state=state), new_key())

    page = client.get("/").text

    addresses = re.findall(r'(?:action|href|hx-get|hx-post)="(/[^"]*)"', page)
    assert addresses
    assert "line of the log" not in page
    for address in addresses:
        if "/static/" not in address and address not in {"/logout", "/language"}:  # These are posted to.
            assert client.get(address.replace("&amp;", "&")).status_code != 403, address


def test_every_route_but_the_chat_is_refused_to_guests(make_client: MakeClient, new_key: Callable[..., str]) -> None:
    """New routes are the owner's by default."""
    client = log_in(make_client(is_logged_in=False), new_key())
    refused = set()
    for rule in client.application.url_map.iter_rules():
        if rule.rule.startswith("/v1/") or rule.endpoint in GUESTS_ENDPOINTS | OPEN_ENDPOINTS:
            continue
        path = re.sub(r"<[^>]*>", "0" * 32, rule.rule)
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            answer = client.open(path, method=method, headers={"Accept": "application/json"})
            assert (answer.status_code, json.loads(answer.data)["error"]["code"]) == (403, "owner_only"), rule
            refused.add(rule.endpoint)
    assert refused >= {
        "orders.stop", "orders.switch", "orders.restart", "orders.stay", "adapters.look_again", "keys.show",
        "keys.create", "keys.revoke", "status.engine", "status.models_here", "next_session.show", "metrics.gauges",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/metrics", "/status.json"])
def test_figures_are_refused_to_guests(make_client: MakeClient, new_key: Callable[..., str], path: str) -> None:
    client = log_in(make_client(is_logged_in=False), new_key())

    assert client.get(path).status_code == 401  # These look for a key, and a login is none.


def test_a_revoked_or_ended_key_is_logged_out_at_once(
    make_client: MakeClient, new_key: Callable[..., str], tmp_path: Path
) -> None:
    client = log_in(make_client(is_logged_in=False), new_key())
    KeyFolder(tmp_path / "data").revoke("ada")
    owner = client.application.test_client()
    assert client.get("/").status_code == 200  # Not looked at yet.

    assert owner.post("/login", data={"password": "p" * 32}).status_code == 303
    assert owner.post("/keys/reload").status_code == 204

    assert client.get("/").status_code == 401
    assert client.post("/keys/reload").status_code == 401


def test_neither_the_owners_key_nor_a_guess_logs_in(make_client: MakeClient) -> None:
    client = make_client(is_logged_in=False)

    answers = [client.post("/login", data={"password": each}).status_code for each in (API_KEY, "", "key-ada", "owner")]
    more = [client.post("/login", data={"password": "wrong"}).status_code for _ in range(WRONG_PER_MIN)]

    assert answers == [401] * 4
    assert more[-1] == 429
    assert client.post("/login", data={"password": "p" * 32}).status_code == 303


def test_a_cookie_of_another_session_is_none(make_client: MakeClient, new_key: Callable[..., str]) -> None:
    client = log_in(make_client(is_logged_in=False), new_key())
    other = make_client(is_logged_in=False, session_id="session-2")
    cookie = client.get_cookie("llm_hoster_8080")
    assert cookie is not None

    other.set_cookie("llm_hoster_8080", cookie.value)

    assert (client.get("/").status_code, other.get("/").status_code) == (200, 401)


@pytest.mark.engine
def test_guest_and_owner_have_conversations_of_their_own(
    make_client: MakeClient, new_key: Callable[..., str], live_engine: LiveEngine
) -> None:
    owner = make_client(engine=live_engine.socket_path)
    guest = log_in(owner.application.test_client(), new_key())
    conversation = "c" * 32

    assert owner.post(f"/chat/{conversation}/messages", data={"message": "Say hello."}).status_code == 303
    page = owner.get(f"/chat/{conversation}").text
    reply_id = re.findall(r'id="message-([0-9a-f]{32})"', page)[1]

    assert guest.get(f"/chat/{conversation}").status_code == 404
    assert guest.get(f"/chat/replies/{reply_id}/events").status_code == 404
    assert "Say hello." not in guest.get("/").text
    assert "Say hello." not in guest.get(f"/status?chat={conversation}").text
    assert guest.post(f"/chat/replies/{reply_id}/stop").status_code == 303
    wait_for(lambda: "message-running" not in owner.get(f"/chat/{conversation}").text, "the reply's end")
    assert guest.post(f"/chat/{conversation}/messages", data={"message": "And me?"}).status_code == 404
    assert "And me?" not in owner.get(f"/chat/{conversation}").text
    assert "stopped" not in owner.get(f"/chat/{conversation}").text.lower()
    mine = "d" * 32
    assert guest.post(f"/chat/{mine}/messages", data={"message": "A guest asks."}).status_code == 303
    assert "A guest asks." in guest.get(f"/chat/{mine}").text
    assert "A guest asks." not in owner.get("/").text


@pytest.mark.engine
def test_a_guests_chat_is_within_the_limits_of_the_key(
    make_client: MakeClient, new_key: Callable[..., str], live_engine: LiveEngine
) -> None:
    key = new_key(limits=Limits(requests_per_min=1))
    other_key = new_key("bob", models=("another",))
    guest = log_in(make_client(engine=live_engine.socket_path, is_logged_in=False), key)
    other = log_in(guest.application.test_client(), other_key)

    def ask(client: FlaskClient) -> int:
        return client.post(f"/chat/{'e' * 32}/messages", data={"message": "Say hello."}).status_code

    assert [ask(guest), ask(guest), ask(other)] == [303, 429, 403]
    assert guest.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 429


def test_nobody_hears_of_what_is_another_persons_or_nowhere(
    make_client: MakeClient, new_key: Callable[..., str]
) -> None:
    client = make_client()
    own = client.application.extensions["llm_hoster"]["store"]
    reply = Message("c", "assistant", "Hi")
    own.add_turn(Message("c", "user", "Hello"), reply, "owner")
    guest = log_in(client.application.test_client(), new_key())

    assert client.get("/chat/c/title").json == {"title": "Hello"}
    assert "Hello" in client.get("/chat/c/news?seen=x").text
    assert client.get(f"/chat/c/news?seen={reply.id}").status_code == 204
    for each in ("c", "d"):
        for what in ("title", "news?seen=x"):
            assert (guest.get(f"/chat/{each}/{what}").status_code, guest.get(f"/chat/{each}/{what}").text) == (204, "")

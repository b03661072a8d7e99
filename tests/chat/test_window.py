"""Long conversations: their end first, and what came before on request."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message
from llm_hoster.chat.window import LENGTH, window_of
from tests.chat.history_files import add_turns
from tests.web_session import MakeClient

CHAT = "c" * 32
TURNS = 100
BRANCH = [Message(CHAT, "user", str(number), id=str(number)) for number in range(150)]


@pytest.mark.parametrize(
    ("asked", "first", "last", "earlier_id"),
    [({}, 90, 149, "30"), ({"before": "90"}, 30, 89, "0"), ({"before": "30"}, 0, 29, None), ({"at": "5"}, 5, 149, "0"),
     ({"at": "120"}, 90, 149, "30"), ({"at": "0"}, 0, 149, None), ({"at": "of another"}, 90, 149, "30")],
)  # fmt: skip
def test_windows(asked: dict[str, Any], first: int, last: int, earlier_id: str | None) -> None:
    window = window_of(BRANCH, **asked)
    assert (window.messages[0].id, window.messages[-1].id, window.earlier_id) == (str(first), str(last), earlier_id)


def test_a_short_one_is_whole() -> None:
    assert window_of(BRANCH[:LENGTH]).earlier_id is None
    assert window_of([]).messages == []


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    client = make_client()
    store: ConversationStore = client.application.extensions["llm_hoster"]["store"]
    add_turns(store, CHAT, TURNS)
    return client


def text_of(client: FlaskClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status
    return answer.get_data(as_text=True)


def test_page_after_page_leads_to_the_beginning(client: FlaskClient) -> None:
    html = text_of(client, f"/chat/{CHAT}")
    ids = []
    while True:
        ids[:0] = re.findall(r'<li id="message-(\w+)"', html)
        address = re.search(r'hx-get="([^"]+/earlier\?[^"]+)"', html)
        if address is None:
            break
        html = text_of(client, address[1])
    assert len(ids) == len(set(ids)) == 2 * TURNS
    assert "Question 0<" in html


def test_without_script_the_link_leads_to_a_longer_page(client: FlaskClient) -> None:
    html = text_of(client, f"/chat/{CHAT}")
    address = re.search(r'<a id="earlier" href="([^"]+)"', html)
    assert address is not None
    assert text_of(client, address[1]).count('<li id="message-') == 2 * LENGTH


def test_what_was_found_is_on_the_page(client: FlaskClient) -> None:
    found = client.post("/chats/", data={"q": '"Question 3"'}, headers={"HX-Request": "true"}).text
    address = re.search(r'class="found" href="([^"#]+)#(message-\w+)"', found)
    assert address is not None
    assert f'<li id="{address[2]}"' in text_of(client, address[1])


def test_earlier_messages_of_nobody(client: FlaskClient) -> None:
    text_of(client, f"/chat/{CHAT}/earlier?before=nothing", 404)
    text_of(client, f"/chat/{'d' * 32}/earlier?before=nothing", 404)

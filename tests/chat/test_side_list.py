"""The list of conversations beside the chat, as forms and links."""

from __future__ import annotations

import re
import time
from datetime import date, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.days import Group, groups_of
from llm_hoster.chat.listing import PAGE
from llm_hoster.chat.message import Conversation
from tests.chat.history_files import add_chat
from tests.web_session import MakeClient

HTMX = {"HX-Request": "true"}
A, B = "a" * 32, "b" * 32


def store_of(client: FlaskClient) -> ConversationStore:
    store: ConversationStore = client.application.extensions["llm_hoster"]["store"]
    return store


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    client = make_client()
    add_chat(store_of(client), A, "About <b>apples</b>", "They are <i>green</i>")
    add_chat(store_of(client), B, "About pears", "Yellow")
    return client


def text_of(client: FlaskClient, path: str, **more: Any) -> str:
    answer = client.open(path, **more)
    assert answer.status_code == 200, answer.status_code
    return answer.get_data(as_text=True)


def titles(html: str) -> list[str]:
    return [unescape(each) for each in re.findall(r'<a href="/chat/[0-9a-f]{32}"[^>]*>(.*?)</a>', html)]


def chat_at(at: datetime, *, pinned: bool = False) -> Conversation:
    return Conversation(str(at), str(at), 0.0, at.timestamp(), "owner", pinned=pinned)


def test_chats_stand_under_the_day_of_their_last_use() -> None:
    today = date(2026, 3, 1)
    times = [
        datetime(2026, 3, 1, 23), datetime(2026, 3, 1, 0, 1), datetime(2026, 2, 28, 23, 59), datetime(2026, 2, 27),
        datetime(2025, 12, 31),
    ]  # fmt: skip
    pinned, *rest = chat_at(datetime(2024, 1, 1), pinned=True), *map(chat_at, times)
    groups = groups_of([pinned, *rest], today)

    assert [each.heading for each in groups] == ["Pinned", "Today", "Yesterday", "27 February", "31 December 2025"]
    assert [len(each.conversations) for each in groups] == [1, 2, 1, 1, 1]
    assert groups_of(rest[1:2], today, after=rest[0]) == [Group("", rest[1:2])]


def test_a_chat_is_renamed_pinned_and_put_into_a_folder(client: FlaskClient) -> None:
    client.post(f"/chats/{A}", data={"title": " New \n <name> ", "folder": "  My   folder "})
    assert titles(text_of(client, "/")) == ["About pears", "New <name>"]
    client.post(f"/chats/{A}", data={"pinned": "1"})
    page = text_of(client, "/")

    assert titles(page) == ["New <name>", "About pears"]
    assert ">Pinned<" in page
    assert titles(text_of(client, "/chats/?folder=My+folder")) == ["New <name>"]
    assert "My folder" in text_of(client, f"/chats/{B}")
    client.post(f"/chats/{A}", data={"pinned": "0", "folder": ""})
    page = text_of(client, "/")
    assert titles(page) == ["About pears", "New <name>"] and "My folder" not in page
    client.post(f"/chats/{A}", data={"title": "   "})
    assert "New <name>" in titles(text_of(client, "/"))


def test_delete_is_undone_by_one_press(client: FlaskClient) -> None:
    answer = client.post(f"/chats/{A}/delete", data={"shown": A})
    assert answer.status_code == 303 and answer.location == f"/?deleted={A}"
    page = text_of(client, answer.location)

    assert titles(page) == ["About pears"]
    assert "Deleted: About &lt;b&gt;apples&lt;/b&gt;" in page
    assert client.get(f"/chat/{A}").status_code == 404
    (undo,) = re.findall(r'action="(/chats/[0-9a-f]+/restore)"', page)
    assert client.post(undo).location == f"/chat/{A}"
    assert "They are" in text_of(client, f"/chat/{A}")
    assert titles(text_of(client, "/")) == ["About pears", "About <b>apples</b>"]


def test_what_is_deleted_is_listed_until_it_is_deleted_for_good(client: FlaskClient) -> None:
    assert "Deleted chats" not in text_of(client, "/")
    client.post(f"/chats/{A}/delete")
    assert "Deleted chats" in text_of(client, "/")
    assert "apples" in text_of(client, "/chats/deleted")
    assert client.post(f"/chats/{A}/erase").status_code == 303
    assert "apples" not in text_of(client, "/chats/deleted")
    assert client.post(f"/chats/{A}/restore").status_code == 404


def test_a_page_with_scripts_gets_the_list_alone(client: FlaskClient) -> None:
    html = text_of(client, f"/chats/{A}/delete", method="POST", data={"shown": B}, headers=HTMX)
    assert html.startswith('<nav id="conversations"') and "Undo" in html
    assert f'href="/chat/{B}" aria-current="page"' in html
    answer = client.post(f"/chats/{B}/delete", data={"shown": B}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == f"/?deleted={B}"
    assert text_of(client, "/chats/", headers=HTMX).startswith('<div id="conversation-list"')


def test_words_are_found_and_shown_as_text(client: FlaskClient) -> None:
    html = text_of(client, "/chats/", method="POST", data={"q": "green"}, headers=HTMX)

    assert "They are &lt;i&gt;<mark>green</mark>&lt;/i&gt;" in html and "About pears" not in html
    assert "About &lt;b&gt;apples&lt;/b&gt;" in html and re.search(rf'href="/chat/{A}\?at=(\w+)#message-\1"', html)
    assert "No chat has these words." in text_of(client, "/chats/", method="POST", data={"q": "<script>"}, headers=HTMX)
    page = text_of(client, "/chats/", method="POST", data={"q": '"><script>'})
    assert 'value="&#34;&gt;&lt;script&gt;"' in page
    assert titles(text_of(client, "/chats/", method="POST", data={"q": " "}, headers=HTMX)) == [
        "About pears",
        "About <b>apples</b>",
    ]


def test_a_long_list_comes_page_by_page(client: FlaskClient) -> None:
    for number in range(2 * PAGE):
        add_chat(store_of(client), f"{number:032x}", f"Number {number}")
    page, seen = text_of(client, "/"), []
    while True:
        seen += titles(page)
        more = re.search(r'hx-get="(/chats/\?after=[^"]*)"', page)
        if more is None:
            break
        page = text_of(client, unescape(more[1]), headers=HTMX)
        assert "Today" not in page and 'id="conversation-list"' not in page

    assert seen == [*(f"Number {number}" for number in reversed(range(2 * PAGE))), "About pears", "About <b>apples</b>"]


def test_a_guest_sees_and_changes_none_of_the_owners(client: FlaskClient, tmp_path: Path) -> None:
    secret = KeyFolder(tmp_path / "data").create(ApiKey("key-1", "ada", "", created_at=time.time()))
    guest = client.application.test_client()
    assert guest.post("/login", data={"password": secret}).status_code == 303
    store_of(client).delete(B, "owner")

    for path in (f"/chats/{A}", f"/chats/{A}/delete", f"/chats/{A}/erase", f"/chats/{B}/restore", f"/chats/{B}/erase"):
        assert guest.post(path, data={"title": "Mine"}).status_code == 404, path
    assert guest.get(f"/chats/{A}").status_code == 404
    for page in ("/", f"/?deleted={B}", "/chats/", "/chats/deleted", f"/chats/?after={A}"):
        assert "About" not in text_of(guest, page), page
    assert "About" not in text_of(guest, "/chats/", method="POST", data={"q": "apples"}, headers=HTMX)
    assert titles(text_of(client, "/")) == ["About <b>apples</b>"]


def test_what_people_should_know_of_their_conversations_is_on_the_page(client: FlaskClient) -> None:
    store_of(client).tell_damage("A file was <damaged>.")
    assert "A file was &lt;damaged&gt;." in text_of(client, "/")


def test_a_change_that_cannot_be_saved_is_told(client: FlaskClient) -> None:
    store_of(client).file.connection.execute("PRAGMA query_only = ON")
    answer = client.post(f"/chats/{A}", data={"title": "New"}, headers=HTMX)
    assert answer.status_code == 507 and "could not be saved" in answer.get_data(as_text=True)
    store_of(client).file.connection.execute("PRAGMA query_only = OFF")


def test_what_is_empty_says_what_would_stand_there(client: FlaskClient) -> None:
    assert "You have no folders yet" in text_of(client, f"/chats/{A}")
    client.post(f"/chats/{A}", data={"folder": "Fruit"})
    assert "A new name makes a new folder." in text_of(client, f"/chats/{A}")
    client.post(f"/chats/{A}", data={"folder": ""})
    assert "No chat is in this folder any more." in text_of(client, "/chats/?folder=Fruit")
    assert "What you delete can be restored here" in text_of(client, "/chats/deleted")
    assert "Nobody has one yet. Make one below" in text_of(client, "/keys/")
    for chat in (A, B):
        client.post(f"/chats/{chat}/delete")
    assert "Your chats will stand here." in text_of(client, "/")
    assert "Your chats will stand here." not in text_of(client, "/chats/", method="POST", data={"q": "pears"})

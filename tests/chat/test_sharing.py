"""Sharing a chat: whoever is logged in to the session reads what was shared, and reaches nothing else of it."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.passages import Passage
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message
from llm_hoster.chat.window import LENGTH
from tests.chat.echo_engine import echo_engine
from tests.chat.history_files import add_chat, add_turns
from tests.live_engine import wait_for
from tests.web_session import PASSWORD, MakeClient

CHAT, OTHER_CHAT = "a" * 32, "b" * 32
TOKEN = re.compile(r"/chat/shared/([0-9a-f]{32})\b")

NewGuest = Callable[..., FlaskClient]


@pytest.fixture
def owner(make_client: MakeClient) -> FlaskClient:
    client = make_client()
    add_chat(store_of(client), CHAT, "What is a mutex?", "A lock.")
    add_chat(store_of(client), OTHER_CHAT, "Something private", "Nobody else reads this.")
    return client


@pytest.fixture
def new_guest(owner: FlaskClient, tmp_path: Path) -> NewGuest:
    def make(name: str = "Ada") -> FlaskClient:
        secret = KeyFolder(tmp_path / "data").create(ApiKey(f"key-{name}", name, "", created_at=time.time()))
        assert owner.post("/keys/reload").status_code == 204
        client = owner.application.test_client()
        assert client.post("/login", data={"password": secret}).status_code == 303
        return client

    return make


def store_of(client: FlaskClient) -> ConversationStore:
    store: ConversationStore = client.application.extensions["llm_hoster"]["store"]
    return store


def share(client: FlaskClient, chat: str = CHAT) -> str:
    """Press the button, and give the path of the link."""
    page = client.post(f"/chats/{chat}/share", headers={"HX-Request": "true"}).text
    found = TOKEN.search(page)
    assert found is not None
    return found[0]


def test_whoever_is_logged_in_reads_a_shared_chat_and_nothing_else(owner: FlaskClient, new_guest: NewGuest) -> None:
    path = share(owner)
    guest = new_guest()

    page = guest.get(path).text

    assert "What is a mutex?" in page and "A lock." in page and "The owner of this session has shared" in page
    for hidden in ("Something private", "Nobody else reads this.", CHAT, 'name="message"', "Try again", "/rating"):
        assert hidden not in page
    assert guest.get("/").text.count("mutex?") == 0


def test_files_and_passages_are_named_and_lead_nowhere(owner: FlaskClient, new_guest: NewGuest) -> None:
    picture = Attachment("2" * 64, "map.png", "picture", 1000, width=64, height=64)
    attachments = [Attachment("1" * 64, "plan.pdf", "pdf", 1000, pages=3), picture]
    reply = Message("c" * 32, "assistant", "Green.", sources=[Passage("1" * 64, "plan.pdf", "It is green.", 3, 1, 9)])
    store_of(owner).add_turn(Message("c" * 32, "user", "Which colour?", attachments=attachments), reply, "owner")
    own = owner.get("/chat/" + "c" * 32).text

    page = new_guest().get(share(owner, "c" * 32)).text

    assert "plan.pdf, page 3" in page and "map.png" in page
    for address in ("/chat/messages/", "/chat/attachments/"):
        assert address in own and address not in page


def test_a_guest_reaches_nothing_through_the_ids_of_a_shared_chat(owner: FlaskClient, new_guest: NewGuest) -> None:
    path = share(owner)
    guest = new_guest()
    question_id, reply_id = re.findall(r'id="message-([0-9a-f]{32})"', guest.get(path).text)
    before = owner.get(f"/chats/{CHAT}/export.json").data

    reads = [
        f"/chat/{CHAT}", f"/chat/{CHAT}/earlier?before={reply_id}", f"/chats/{CHAT}", f"/chats/{CHAT}/export.json",
        f"/chats/{CHAT}/export.md", f"/chats/{CHAT}/export.html", f"/chat/messages/{reply_id}/source",
        f"/chat/messages/{question_id}/edit", f"/chat/replies/{reply_id}/events",
    ]  # fmt: skip
    writes = [
        f"/chats/{CHAT}", f"/chats/{CHAT}/delete", f"/chats/{CHAT}/restore", f"/chats/{CHAT}/erase",
        f"/chats/{CHAT}/share", f"/chats/{CHAT}/unshare", f"/chat/{CHAT}/messages", f"/chat/messages/{reply_id}/again",
        f"/chat/messages/{reply_id}/continue", f"/chat/messages/{question_id}/edit",
        f"/chat/messages/{question_id}/show", f"/chat/messages/{reply_id}/rating",
    ]  # fmt: skip

    for read in reads:
        assert guest.get(read).status_code == 404, read
    for write in writes:
        assert guest.post(write, data={"message": "x", "title": "x", "rating": "bad"}).status_code == 404, write
    assert without_time(owner.get(f"/chats/{CHAT}/export.json").data) == without_time(before)
    assert guest.get(path).status_code == 200


def without_time(export: bytes) -> dict[str, object]:
    document: dict[str, object] = json.loads(export)
    del document["exported_at"]
    return document


def test_what_is_written_later_or_in_other_words_is_not_shared(owner: FlaskClient, new_guest: NewGuest) -> None:
    path = share(owner)
    guest = new_guest()
    store = store_of(owner)
    question, reply = store.messages(CHAT, "owner")
    store.add_turn(Message(CHAT, "user", "A later question", parent_id=reply.id), Message(CHAT, "assistant"), "owner")
    store.add_reply(Message(CHAT, "assistant", "Another reply", parent_id=question.id), "owner")

    assert "A lock." in guest.get(path).text
    for hidden in ("A later question", "Another reply"):
        assert hidden not in guest.get(path).text

    assert share(owner) == path
    assert "Another reply" in guest.get(path).text and "A lock." not in guest.get(path).text


def test_a_link_that_is_taken_back_never_opens_anything_again(owner: FlaskClient, new_guest: NewGuest) -> None:
    path = share(owner)
    guest = new_guest()

    page = owner.post(f"/chats/{CHAT}/unshare", headers={"HX-Request": "true"}).text

    assert TOKEN.search(page) is None
    assert guest.get(path).status_code == owner.get(path).status_code == 404
    assert share(owner) != path
    assert guest.get(path).status_code == 404


def test_a_link_ends_with_its_chat_and_comes_back_with_it(owner: FlaskClient, new_guest: NewGuest) -> None:
    path = share(owner)
    guest = new_guest()

    owner.post(f"/chats/{CHAT}/delete")
    assert guest.get(path).status_code == 404
    owner.post(f"/chats/{CHAT}/restore")
    assert guest.get(path).status_code == 200
    owner.post(f"/chats/{CHAT}/delete")
    owner.post(f"/chats/{CHAT}/erase")
    assert guest.get(path).status_code == 404


def test_a_link_of_a_guest_ends_with_the_guests_key(owner: FlaskClient, new_guest: NewGuest) -> None:
    ada, ben = new_guest("Ada"), new_guest("Ben")
    add_chat(store_of(owner), "c" * 32, "Of Ada", "An answer to Ada", key_id="key-Ada")
    path = share(ada, "c" * 32)

    assert "Ada has shared this chat" in ben.get(path).text
    assert "Of Ada" in owner.get(path).text and "Of Ada" not in owner.get("/").text
    owner.post("/keys/key-Ada/revoke")

    assert ben.get(path).status_code == owner.get(path).status_code == 404


def test_a_token_that_nobody_was_given_opens_nothing(owner: FlaskClient) -> None:
    share(owner)
    for token in ("0" * 32, CHAT, "x", "0" * 400, "..%2f..", "%00"):
        assert owner.get(f"/chat/shared/{token}").status_code == 404, token


def test_a_link_outlives_the_pages_process_and_goes_with_the_session(
    owner: FlaskClient, make_client: MakeClient
) -> None:
    path = share(owner)
    settings = owner.application.extensions["llm_hoster"]["settings"]
    file = settings.runtime_dir / "shares.json"

    assert file.stat().st_mode & 0o777 == 0o600
    assert "mutex" not in file.read_text()
    assert path.rpartition("/")[2] not in owner.get(f"/chats/{CHAT}/export.json").text
    store_of(owner).close()
    again = make_client()
    assert "A lock." in again.get(path).text

    (held,) = json.loads(file.read_text())
    file.write_text(json.dumps([held | {"leaf_id": "f" * 32}]))
    store_of(again).close()
    again = make_client()
    assert again.get(path).status_code == 404  # No other branch is shown in its place.
    store_of(again).close()
    file.write_text('[{"token": 1}]')
    assert make_client().get(path).status_code == 404


def test_a_link_is_whole_as_the_browser_needs_it(owner: FlaskClient) -> None:
    headers = {
        "X-Forwarded-Host": "portal.example.org", "X-Forwarded-Proto": "https", "HX-Request": "true",
    }  # fmt: skip
    owner.post("/login", data={"password": PASSWORD}, headers=headers, base_url="https://c3gpu-a1.example.org:8080")
    client = owner.application.test_client()
    client.post("/login", data={"password": PASSWORD})
    cookie = client.get_cookie("llm_hoster_8080")
    assert cookie is not None
    page = client.post(f"/chats/{CHAT}/share", headers=headers | {"Cookie": f"llm_hoster_8080={cookie.value}"}).text
    assert 'value="https://portal.example.org/rnode/c3gpu-a1.example.org/8080/chat/shared/' in page


def test_without_script_the_button_leads_back_to_the_panel(owner: FlaskClient) -> None:
    answer = owner.post(f"/chats/{CHAT}/share")

    assert (answer.status_code, answer.location) == (303, f"/chats/{CHAT}")
    assert TOKEN.search(owner.get(answer.location).text) is not None
    assert owner.post(f"/chats/{'f' * 32}/share").status_code == 404


def test_a_long_shared_chat_is_read_to_its_beginning(owner: FlaskClient, new_guest: NewGuest) -> None:
    add_turns(store_of(owner), "d" * 32, LENGTH)
    path = share(owner, "d" * 32)
    guest = new_guest()

    page = guest.get(path).text
    assert f"Answer {LENGTH - 1}<" in page and "Answer 0<" not in page
    earlier = re.search(rf'href="({path}\?at=[0-9a-f]+)"', page)
    assert earlier is not None
    assert "Answer 0<" in guest.get(earlier[1]).text


def test_a_stranger_comes_to_the_shared_chat_by_way_of_the_login(owner: FlaskClient) -> None:
    path = share(owner)
    stranger = owner.application.test_client()

    page = stranger.get(path)
    assert page.status_code == 401
    assert "mutex" not in page.text
    unknown = stranger.get(f"/chat/shared/{'0' * 32}")
    assert unknown.text.replace("0" * 32, path.rpartition("/")[2]) == page.text  # It does not tell which there are.

    field = re.search(r'name="(shared)" value="([0-9a-f]{32})"', page.text)
    assert field is not None
    refused = stranger.post("/login", data={"password": "wrong", field[1]: field[2]})
    assert field[0] in refused.text
    answer = stranger.post("/login", data={"password": PASSWORD, field[1]: field[2]})
    assert (answer.status_code, answer.location) == (303, path)


def test_a_login_leads_to_no_place_outside_and_to_no_other_page(owner: FlaskClient) -> None:
    hostile = ["https://evil.example", "//evil.example", "/\\evil.example", "../../x", "a" * 31, "A" * 32, f"{CHAT}\n"]
    for kind, value in itertools.product(["shared", "chat", "next", "url"], hostile):
        answer = owner.post("/login", data={"password": PASSWORD, kind: value})
        assert (answer.status_code, answer.location) == (303, "/"), (kind, value)


def test_a_login_on_the_page_of_a_chat_leads_to_that_chat(owner: FlaskClient, new_guest: NewGuest) -> None:
    stranger = owner.application.test_client()
    assert f'name="chat" value="{CHAT}"' in stranger.get(f"/chat/{CHAT}").text

    answer = stranger.post("/login", data={"password": PASSWORD, "chat": CHAT})

    assert answer.location == f"/?chat={CHAT}"
    assert stranger.get(answer.location).location == f"/chat/{CHAT}"
    assert "What would you like to know?" in new_guest().get(answer.location).text


def test_a_link_from_another_site_is_asked_for_once_more(owner: FlaskClient) -> None:
    path = share(owner)
    stranger = owner.application.test_client()

    def refresh(path: str, site: str) -> list[str]:
        page = stranger.get(path, headers={"Sec-Fetch-Site": site}).text
        return re.findall(r'http-equiv="refresh" content="0; url=([^"]*)"', page)

    assert refresh(path, "cross-site") == [f"{path}?again=1"]
    assert refresh(f"{path}?again=1", "cross-site") == refresh(path, "same-origin") == []
    assert refresh("//evil.example/chat", "cross-site") == refresh("/chat/shared/" + "x" * 32, "cross-site") == []
    assert urlsplit(path).netloc == ""


def test_a_reply_that_is_being_written_is_shared_as_far_as_it_is(make_client: MakeClient, short_dir: Path) -> None:
    with echo_engine(short_dir / "echo.sock", piece=5) as gate:
        gate.clear()
        owner = make_client(engine=short_dir / "echo.sock")
        assert owner.post(f"/chat/{CHAT}/messages", data={"message": "Say **this**."}).status_code == 303
        path = share(owner)
        wait_for(lambda: "Say <strong>this</strong>." in owner.get(path).text, "the text")
        page = owner.get(path).text
        assert "still being written" in page and "data-events" not in page and "Stop</button>" not in page
        gate.set()
        wait_for(lambda: "still being written" not in owner.get(path).text, "the end")

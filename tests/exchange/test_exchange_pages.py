"""Export and import by links and forms."""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.exchange import upload, views
from tests.chat.history_files import add_chat
from tests.exchange.exchanged_files import A, B, document, own
from tests.web_session import MakeClient

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for each import to end: another machine has more to do."""
    monkeypatch.setattr(views, "PATIENCE_S", 60.0)


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    return make_client()


def store_of(client: FlaskClient) -> ConversationStore:
    store: ConversationStore = client.application.extensions["llm_hoster"]["store"]
    return store


def guest_of(client: FlaskClient, tmp_path: Path) -> FlaskClient:
    secret = KeyFolder(tmp_path / "data").create(ApiKey("key-1", "ada", "", created_at=time.time()))
    guest = client.application.test_client()
    assert guest.post("/login", data={"password": secret}).status_code == 303
    return guest


def bring(client: FlaskClient, content: Any, **more: Any) -> TestResponse:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.post("/chats/import", data={"file": (io.BytesIO(data), "chats.json")}, **more)


def text_of(answer: TestResponse) -> str:
    assert answer.status_code == 200, answer.status_code
    return answer.get_data(as_text=True)


def test_a_chat_and_all_chats_are_downloaded(client: FlaskClient) -> None:
    add_chat(store_of(client), A, "Über <b>Bäume</b>", "Sie sind *grün*")
    add_chat(store_of(client), B, "Pears")
    menu = text_of(client.get(f"/chats/{A}"))
    links = re.findall(r'href="(/chats/[0-9a-f]{32}/export\.\w+)" download', menu)
    assert links == [f"/chats/{A}/export.md", f"/chats/{A}/export.json", f"/chats/{A}/export.html"]

    markdown, one, page = (client.get(link) for link in links)
    assert page.headers["Content-Disposition"].startswith("attachment; filename=Uber-b-Baume-b.html")
    assert "Über &lt;b&gt;Bäume&lt;/b&gt;" in text_of(page) and "Sie sind <em>grün</em>" in text_of(page)
    assert "Sie sind *grün*" in text_of(markdown) and markdown.content_type == "text/markdown; charset=utf-8"
    assert markdown.headers["Content-Disposition"] == (
        "attachment; filename=Uber-b-Baume-b.md; filename*=UTF-8''%C3%9Cber-b-B%C3%A4ume-b.md"
    )
    assert [each["id"] for each in json.loads(text_of(one))["conversations"]] == [A]
    assert "/chats/export.json" in text_of(client.get("/chats/files"))
    whole = client.get("/chats/export.json")
    assert [each["id"] for each in json.loads(text_of(whole))["conversations"]] == [A, B]
    assert re.fullmatch(r"attachment; filename=chats-[0-9-]{10}\.json", whole.headers["Content-Disposition"])


def test_a_file_comes_in_by_a_plain_form_and_goes_out_again(client: FlaskClient) -> None:
    answer = bring(client, document(own(A, title="<i>Trees</i>"), 5))
    assert answer.status_code == 303 and answer.location == "/chats/files"
    page = text_of(client.get("/chats/files"))
    assert "1 chat came in." in page
    assert "1 entry was left out: it is no chat of a kind that is known here." in page
    assert "&lt;i&gt;Trees&lt;/i&gt;" in text_of(client.get("/"))
    (undo,) = re.findall(r'action="(/chats/import/[0-9a-f]{32}/undo)"', page)
    assert client.post(undo).status_code == 303
    assert "1 chat was taken out again." in text_of(client.get("/chats/files"))
    assert client.get(f"/chat/{A}").status_code == 404
    assert client.post(f"/chats/import/{B}/undo").status_code == 404


def test_the_list_beside_the_panel_comes_along(client: FlaskClient) -> None:
    html = text_of(bring(client, document(own(A)), headers=HTMX | {"HX-Current-URL": f"http://localhost/chat/{A}?x"}))
    assert 'hx-swap-oob="outerHTML:#conversation-list"' in html
    assert f'href="/chat/{A}" aria-current="page"' in html
    assert "hx-swap-oob" not in text_of(client.get("/chats/files", headers=HTMX))


def test_a_running_import_is_followed(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PATIENCE_S", 0.0)
    with store_of(client).file.lock:
        assert bring(client, document(own(A))).status_code == 303
        page = text_of(client.get("/chats/files"))
        assert "The import is running" in page and "<progress" in page
        assert 'hx-get="/chats/files?watched=1" hx-trigger="load delay:1s"' in page and "Undo" not in page
        assert bring(client, document(own(A))).status_code == 429
    run = client.application.extensions[views.EXTENSION].last("owner")
    run.wait(30)
    html = text_of(client.get("/chats/files?watched=1", headers=HTMX))
    assert "The import has ended" in html and "hx-swap-oob" in html and "load delay" not in html
    around = {"HX-Current-URL": "http://localhost/chats/files"}
    assert "hx-swap-oob" not in text_of(client.get("/chats/files?watched=1", headers=HTMX | around))


def test_the_markdown_is_in_the_readers_language(client: FlaskClient) -> None:
    add_chat(store_of(client), A)
    for language, heading in {"en": "## You", "de": "## Sie"}.items():
        text = client.get(f"/chats/{A}/export.md", headers={"Accept-Language": language}).get_data(as_text=True)
        assert heading in text.splitlines()


@pytest.mark.parametrize(
    ("form", "status", "sentence"),
    [
        ({}, 400, "No file was chosen"),
        ({"file": (io.BytesIO(b""), "a.json")}, 400, "No file was chosen"),
        ({"file": [(io.BytesIO(b"[]"), "a"), (io.BytesIO(b"[]"), "b")]}, 400, "one file at a time"),
        ({"file": (io.BytesIO(b"x" * 100_000), "a.json")}, 413, "at most"),
    ],
)
def test_a_form_that_brings_no_file_is_refused_where_it_stands(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, form: dict[str, Any], status: int, sentence: str
) -> None:
    monkeypatch.setattr(upload, "FORM", replace(upload.FORM, file_bytes_max=50_000))
    answer = client.post("/chats/import", data=form, content_type="multipart/form-data")
    assert answer.status_code == status and sentence in answer.get_data(as_text=True)
    assert client.get("/chats/files").status_code == 200


def test_a_refusal_is_told_in_the_panel(client: FlaskClient) -> None:
    html = text_of(client.post("/chats/import", data={}, headers=HTMX))
    assert 'role="alert">No file was chosen' in html and 'id="files"' in html


def test_one_import_at_a_time(client: FlaskClient) -> None:
    imports = client.application.extensions[views.EXTENSION]
    assert imports.enter("key-1") and imports.enter("key-2")
    answer = bring(client, document(own(A)))
    assert answer.status_code == 429 and "Retry-After" in answer.headers
    imports.leave()
    assert bring(client, document(own(A))).status_code == 303


def test_guests_have_their_own(client: FlaskClient, tmp_path: Path) -> None:
    add_chat(store_of(client), A, "The owner's")
    guest = guest_of(client, tmp_path)
    assert bring(guest, document(own(B, title="The guest's"))).status_code == 303
    assert "1 chat came in." in text_of(guest.get("/chats/files"))
    assert "came in" not in text_of(client.get("/chats/files"))
    assert "The guest" not in text_of(client.get("/"))

    for path in (f"/chats/{A}/export.{ending}" for ending in ("json", "md", "html")):
        assert guest.get(path).status_code == 404
        assert client.application.test_client().get(path).status_code == 401
    assert [each["title"] for each in json.loads(text_of(guest.get("/chats/export.json")))["conversations"]] == [
        "The guest's"
    ]
    run = client.application.extensions[views.EXTENSION].last("key-1")
    assert client.post(f"/chats/import/{run.id}/undo").status_code == 404
    answer = bring(guest, document(own(A)), headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.org"})
    assert answer.status_code == 403

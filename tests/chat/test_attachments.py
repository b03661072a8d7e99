"""Attached files by forms: taken, counted, sent, given back; and kept from whoever has no business with them."""

from __future__ import annotations

import errno
import hashlib
import html
import io
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from itsdangerous import URLSafeSerializer
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.api_keys.key_folder import KeyFolder
from llm_hoster.attachments.bounds import FILES_MAX
from llm_hoster.attachments.store import AttachmentStore
from llm_hoster.chat import attached_files
from tests.attachments.made_files import pdf, png
from tests.chat.remembering_engine import remembering_engine
from tests.live_engine import wait_for
from tests.web_session import MakeClient, starting_state

CHAT = "c" * 32
HTMX = {"HX-Request": "true"}


@pytest.fixture
def asked(short_dir: Path) -> Iterator[list[Any]]:
    with remembering_engine(short_dir / "engine.sock") as asked:
        yield asked


@pytest.fixture
def client(make_client: MakeClient, short_dir: Path, asked: list[Any]) -> FlaskClient:
    return make_client(engine=short_dir / "engine.sock")


@pytest.fixture
def guest(client: FlaskClient, tmp_path: Path) -> FlaskClient:
    return guest_of(client, tmp_path, "key-00000001")


def guest_of(client: FlaskClient, tmp_path: Path, key_id: str) -> FlaskClient:
    secret = KeyFolder(tmp_path / "data").create(ApiKey(key_id, "ada", "", created_at=time.time()))
    guest = client.application.test_client()
    wait_for(lambda: guest.post("/login", data={"password": secret}).status_code == 303, "the key is known")
    return guest


def upload(client: FlaskClient, data: bytes, name: str = "a.txt") -> TestResponse:
    boundary, body = encode_multipart({"file": FileStorage(io.BytesIO(data), name)})
    kind = f"multipart/form-data; boundary={boundary}"
    return client.post("/chat/attachments", data=body, content_type=kind, headers=HTMX)


def name_of(answer: TestResponse) -> str:
    """Give the words by which the answer's form would name the file."""
    assert answer.status_code == 200, answer.text
    found = re.search(r'name="attachment" value="([^"]+)"', answer.text)
    assert found is not None
    return html.unescape(found[1])


def ask(client: FlaskClient, *names: str, chat: str = CHAT, message: str = "What is it?") -> TestResponse:
    answer = client.post(f"/chat/{chat}/messages", data={"message": message, "attachment": list(names)}, headers=HTMX)
    if answer.status_code == 303:
        wait_for(lambda: "message-stop" not in client.get(f"/chat/{chat}").text, "the reply ends")
    return answer


def sentence(answer: TestResponse, status: int) -> str:
    assert answer.status_code == status, answer.text
    found = re.search(r"<p>(.*?)</p>", answer.text)
    assert found is not None
    return html.unescape(found[1])


def message_ids(client: FlaskClient, chat: str = CHAT) -> list[str]:
    return re.findall(r'<li id="message-(\w+)"', client.get(f"/chat/{chat}").text)


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and "." not in path.name)


def test_a_file_is_counted_named_and_sent_before_the_question(client: FlaskClient, asked: list[Any]) -> None:
    answer = upload(client, b"one two three", "../plan.txt")
    # The engine counts the words of the block, with the line of the name and the fences.
    assert "plan.txt" in answer.text and "7 tokens" in answer.text and "13 Bytes" in answer.text
    assert ask(client, name_of(answer)).status_code == 303
    assert asked == [[{"role": "user", "content": "File: plan.txt\n```txt\none two three\n```\n\nWhat is it?"}]]
    assert "plan.txt" in client.get(f"/chat/{CHAT}").text


def test_tokens_are_guessed_where_no_engine_answers(make_client: MakeClient) -> None:
    client = make_client(state=starting_state())
    assert "about 105 tokens" in upload(client, b"x" * 400, "a").text


def test_a_page_without_script_sends_the_file_along(client: FlaskClient, asked: list[Any]) -> None:
    form = {"message": "What is it?", "file": (io.BytesIO(b"words"), "a.md")}
    assert client.post(f"/chat/{CHAT}/messages", data=form).status_code == 303
    wait_for(lambda: bool(asked), "the engine is asked")
    assert asked[0][0]["content"].startswith("File: a.md\n")
    # And where none is chosen, a browser sends an empty one without a name.
    form = {"message": "And more?", "file": (io.BytesIO(b""), "")}
    assert client.post(f"/chat/{'d' * 32}/messages", data=form).status_code == 303


def test_an_edit_has_the_files_that_its_form_names(client: FlaskClient, asked: list[Any]) -> None:
    ask(client, name_of(upload(client, b"aaa")))
    question = message_ids(client)[0]
    form = client.get(f"/chat/messages/{question}/edit", headers=HTMX)
    answer = client.post(
        f"/chat/messages/{question}/edit", data={"message": "Other words", "attachment": name_of(form)}
    )
    assert answer.status_code == 303
    wait_for(lambda: len(asked) == 2, "the engine is asked")
    assert asked[1][0]["content"] == "File: a.txt\n```txt\naaa\n```\n\nOther words"


def test_what_cannot_be_read_is_refused_in_a_sentence(client: FlaskClient) -> None:
    assert sentence(upload(client, b""), 422) == '"a.txt" is empty. Attach a file that has something in it.'
    assert "is of a kind that cannot be read here" in sentence(upload(client, bytes(range(256)) * 9, "a.exe"), 422)
    assert "damaged" in sentence(upload(client, pdf(["a"])[:200], "a.pdf"), 422)
    assert "No file came" in sentence(client.post("/chat/attachments", headers=HTMX), 400)
    assert "too large" in sentence(upload(client, b"a" * 20_000_001), 422)
    assert "too large" in sentence(upload(client, b"a" * 20_200_000), 422)


def test_a_message_has_a_bounded_number_of_files(client: FlaskClient, asked: list[Any]) -> None:
    names = [name_of(upload(client, b"%d" % number)) for number in range(FILES_MAX + 1)]
    assert "at most 10 files" in sentence(ask(client, *names), 400)
    assert asked == [] and message_ids(client) == []
    # The same file twice is one.
    assert ask(client, *names[:FILES_MAX], names[0]).status_code == 303


def test_a_picture_is_refused_by_a_model_that_reads_text_only(
    client: FlaskClient, tmp_path: Path, asked: list[Any]
) -> None:
    assert "this model reads text only" in sentence(upload(client, png(), "a.png"), 422)
    assert not (tmp_path / "data" / "attachments").exists()


def test_a_picture_of_another_model_is_refused_before_anything_is_written(
    client: FlaskClient, make_client: MakeClient, asked: list[Any]
) -> None:
    """It was attached while the engine could not be asked."""
    settings = client.application.extensions["llm_hoster"]["settings"]
    store = attached_files.store_of(settings, "owner")
    name = attached_files.sign(settings, "owner", store.add(png(), "a.png"))
    assert "this model reads text only" in sentence(ask(client, name), 422)
    assert asked == [] and message_ids(client) == []
    # The chat is not held up by it.
    assert ask(client).status_code == 303


def test_a_lost_file_is_told_before_anything_is_written_and_holds_up_no_later_question(
    client: FlaskClient, tmp_path: Path, asked: list[Any]
) -> None:
    name = name_of(upload(client, b"aaa"))
    assert ask(client, name).status_code == 303
    AttachmentStore(tmp_path / "data" / "attachments").remove(hashlib.sha256(b"aaa").hexdigest())

    assert sentence(ask(client, name), 422) == '"a.txt" is not kept any more. Attach it again.'
    assert len(asked) == 1
    reply = message_ids(client)[1]
    answer = client.post(f"/chat/messages/{reply}/again", headers=HTMX)
    assert sentence(answer, 422) == '"a.txt" is not kept any more. Attach it again.'

    assert ask(client, message="Go on").status_code == 303
    assert asked[1][0]["content"] == "File: a.txt (it cannot be read any more)\n\nWhat is it?"


def test_a_file_is_given_back_to_be_saved_and_a_picture_to_be_seen(make_client: MakeClient, short_dir: Path) -> None:
    with remembering_engine(short_dir / "sees.sock", sees=True):
        client = make_client(engine=short_dir / "sees.sock")
        page = b"<script>alert(1)</script>"
        ask(client, name_of(upload(client, page, "page.html")), name_of(upload(client, png(), "ü.png")))
    question = message_ids(client)[0]

    saved = client.get(f"/chat/attachments/{question}/0")
    assert saved.data == page
    assert saved.headers["Content-Type"] == "application/octet-stream"
    assert saved.headers["Content-Disposition"] == "attachment; filename=page.html"
    assert saved.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(f"/chat/attachments/{question}/0/preview").status_code == 404
    seen = client.get(f"/chat/attachments/{question}/1/preview")
    assert (seen.data, seen.headers["Content-Type"]) == (png(), "image/png")
    assert seen.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(f"/chat/attachments/{question}/2").status_code == 404
    assert client.get(f"/chat/attachments/{'f' * 32}/0").status_code == 404


def test_nobody_has_the_files_of_another(client: FlaskClient, guest: FlaskClient, tmp_path: Path) -> None:
    ask(client, name_of(upload(client, b"the owner's")))
    question = message_ids(client)[0]
    for path in (f"/chat/attachments/{question}/0", f"/chat/attachments/{question}/0/preview"):
        assert guest.get(path).status_code == 404
    identity = hashlib.sha256(b"the owner's").hexdigest()
    assert identity not in guest.get("/chat/attachments/kept").text
    assert guest.post(f"/chat/attachments/kept/{identity}/remove").status_code == 404
    assert client.get(f"/chat/attachments/{question}/0").data == b"the owner's"

    upload(guest, b"the guest's")
    assert files_of(tmp_path / "data" / "attachments") == [identity]
    other = guest_of(client, tmp_path, "key-00000002")
    assert "There are none." in other.get("/chat/attachments/kept").text


def test_a_guest_cannot_name_a_file_of_the_owners(client: FlaskClient, guest: FlaskClient, asked: list[Any]) -> None:
    name = name_of(upload(client, b"the owner's"))
    attachment = {"id": hashlib.sha256(b"the owner's").hexdigest(), "name": "a", "kind": "text", "size": 11}
    made_up = URLSafeSerializer("another key", salt="attachment").dumps(["key-00000001", attachment])
    for each in (name, made_up, json.dumps(attachment), attachment["id"], ""):
        assert "not known here" in sentence(ask(guest, str(each)), 400)
    # What an imported file says of it leads to the guest's own folder.
    chat = {"id": "e" * 32, "messages": [{"id": "f" * 32, "role": "user", "content": "x", "attachments": [attachment]}]}
    document = {"format": "llm-hoster-conversations", "version": 1, "conversations": [chat]}
    guest.post("/chats/import", data={"file": (io.BytesIO(json.dumps(document).encode()), "chats.json")})
    wait_for(lambda: "/chat/" in guest.get("/chats/").text, "the import ends")
    found = re.search(r'href="/chat/([0-9a-f]{32})"', guest.get("/chats/").text)
    assert found is not None
    (question,) = message_ids(guest, found[1])
    answer = guest.get(f"/chat/attachments/{question}/0")
    assert "is not kept any more" in answer.text and "the owner" not in answer.text
    assert "is not kept any more" not in ask(guest, chat=found[1]).text
    assert "the owner" not in json.dumps(asked)


def test_files_of_the_cluster_are_the_owners(client: FlaskClient, guest: FlaskClient, tmp_path: Path) -> None:
    path = tmp_path / "a file.txt"
    path.write_text("of the cluster")
    assert "a file.txt" in client.get(f"/chat/attachments/cluster?path={tmp_path}", headers=HTMX).text
    assert "a file.txt" in client.post("/chat/attachments/cluster", data={"path": str(path)}, headers=HTMX).text
    assert guest.get(f"/chat/attachments/cluster?path={tmp_path}").status_code == 403
    assert guest.post("/chat/attachments/cluster", data={"path": str(path)}).status_code == 403
    assert "Files on the cluster" not in guest.get("/").text


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/nowhere", "There is no /nowhere on this node."),
        ("relative", "is not a whole path"),
        ("/proc/self/mem", "could not be read"),
        ("/dev/null", "is a pipe, a socket or a device"),
        ("/tmp", "/tmp is a folder. Choose a file in it."),
    ],
)
def test_what_the_kernel_refuses_is_told_in_a_sentence(client: FlaskClient, path: str, told: str) -> None:
    assert told in sentence(client.post("/chat/attachments/cluster", data={"path": path}, headers=HTMX), 422)


def test_a_path_that_is_none_is_told_in_the_panel(client: FlaskClient, tmp_path: Path) -> None:
    assert "There is no /nowhere" in client.get("/chat/attachments/cluster?path=/nowhere", headers=HTMX).text
    (tmp_path / "b.txt").write_text("b")
    panel = client.get(f"/chat/attachments/cluster?path={tmp_path / 'b.txt'}", headers=HTMX).text
    assert re.search(r'value="[^"]*/b.txt" data-name="b.txt" checked', panel)
    told = client.get(f"/chat/attachments/cluster?path={tmp_path / 'b.txt'}/x", headers=HTMX)
    assert told.status_code == 200 and f"There is no {tmp_path}/b.txt/x" in told.text


def test_a_file_of_the_cluster_is_chosen_however_much_stands_beside_it(client: FlaskClient, tmp_path: Path) -> None:
    for number in range(510):
        (tmp_path / f"run{number:03}.csv").write_text("x,y")
    (tmp_path / "run.csv ").write_text("x,y")
    for typed, name in (("run509.csv", "run509.csv"), ("/run003.csv", "run003.csv"), ("run.csv%20", "run.csv ")):
        panel = client.get(f"/chat/attachments/cluster?path={tmp_path}/{typed}", headers=HTMX).text
        (checked,) = re.findall(r'value="([^"]*)" data-name="[^"]*" checked', panel)
        assert checked == f"{tmp_path}/{name}"
        answer = client.post("/chat/attachments/cluster", data={"path": checked}, headers=HTMX)
        assert answer.status_code == 200 and name.strip() in answer.text


def test_a_folder_that_cannot_be_listed_says_so_beside_its_file(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.txt").write_text("inside")

    def refused(folder: Path) -> None:
        raise OSError(errno.ENOTDIR if folder.suffix else errno.EACCES, "refused")

    monkeypatch.setattr(os, "scandir", refused)
    panel = client.get(f"/chat/attachments/cluster?path={tmp_path}/in.txt", headers=HTMX).text
    assert 'data-name="in.txt" checked' in panel and "What else is in this folder cannot be listed." in panel


def test_what_is_kept_is_bounded_for_each_person_and_can_be_removed(
    client: FlaskClient, guest: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(attached_files, "GUEST_KEPT_MAX_BYTES", 2_000_000)
    upload(guest, b"a" * 1_500_000, "first.txt")
    told = sentence(upload(guest, b"b" * 1_000_000, "second.txt"), 422)
    assert told.startswith('"second.txt" was not kept: your attached files take 1 MB, and at most 2 MB are kept.')
    assert upload(client, b"b" * 1_000_000).status_code == 200
    # What is here already needs no room.
    assert upload(guest, b"a" * 1_500_000, "again.txt").status_code == 200

    identity = hashlib.sha256(b"a" * 1_500_000).hexdigest()
    assert "A file of no chat" in guest.get("/chat/attachments/kept", headers=HTMX).text
    answer = guest.post(f"/chat/attachments/kept/{identity}/remove", headers=HTMX)
    assert "There are none." in answer.text
    assert upload(guest, b"b" * 1_000_000, "second.txt").status_code == 200


def test_a_chat_that_is_deleted_for_good_takes_its_files_along(client: FlaskClient, tmp_path: Path) -> None:
    alone, shared = (name_of(upload(client, data)) for data in (b"alone", b"shared"))
    ask(client, alone, shared)
    ask(client, shared, chat="d" * 32)
    assert "What is it?" in client.get("/chat/attachments/kept").text
    client.post(f"/chats/{CHAT}/delete")
    assert "in a deleted chat" in client.get("/chat/attachments/kept").text
    client.post(f"/chats/{CHAT}/erase")
    assert files_of(tmp_path / "data" / "attachments") == [hashlib.sha256(b"shared").hexdigest()]


def test_exports_name_the_files(client: FlaskClient) -> None:
    ask(client, name_of(upload(client, b"aaa", "a_b.txt")))
    assert "- Attached: a\\_b.txt\n" in client.get(f"/chats/{CHAT}/export.md").text
    assert "Attached: a_b.txt" in client.get(f"/chats/{CHAT}/export.html").text
    chat = json.loads(client.get(f"/chats/{CHAT}/export.json").text)["conversations"][0]
    (attachment,) = chat["messages"][0]["attachments"]
    assert (attachment["name"], attachment["kind"], attachment["size"]) == ("a_b.txt", "text", 3)


def test_without_files_there_is_one_question_and_no_look_at_the_disk(
    client: FlaskClient, asked: list[Any], tmp_path: Path
) -> None:
    ask(client)
    assert asked == [[{"role": "user", "content": "What is it?"}]]
    assert not (tmp_path / "data" / "attachments").exists()

"""Files that people upload, and those of answers."""

from __future__ import annotations

import resource
import socket
from pathlib import Path

import openai
import pytest
import requests

from llm_hoster.batches.limits import FILE_BYTES_MAX, FILES_MAX, FOLDER_BYTES_MAX
from llm_hoster.batches.stored_file import FileStore, StoredFile
from tests.batches.batch_engine import BatchEngine
from tests.batches.conftest import LightServer, MakeClient, MakeServer, chat_lines, start_batch, worker_of
from tests.live_engine import wait_for
from tests.web_session import API_KEY

AUTHORIZATION = {"Authorization": f"Bearer {API_KEY}"}
MIB = 2**20


@pytest.fixture
def folder(server: LightServer) -> Path:
    return server.settings.data_dir / "batches" / "files"


def post(server: LightServer, files: object, **form: str) -> requests.Response:
    return requests.post(f"{server.url}/v1/files", headers=AUTHORIZATION, files=files, data=form, timeout=30)  # type: ignore[arg-type]


def test_a_file_comes_back_as_it_was_sent(client: openai.OpenAI, folder: Path) -> None:
    content = b'{"a": "\xc3\xa4"}\r\n\r\n--boundary\n\x00\xff'
    first = client.files.create(file=("../in.jsonl", content), purpose="batch")
    second = client.files.create(
        file=("second", b"x"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )

    assert client.files.content(first.id).read() == content
    assert client.files.retrieve(first.id) == first
    assert (first.filename, first.bytes, first.purpose, first.status) == (
        "../in.jsonl",
        len(content),
        "batch",
        "processed",
    )
    assert (second.expires_at or 0) - second.created_at == 3600
    assert [file.id for file in client.files.list()] == [second.id, first.id]
    assert [file.id for file in client.files.list(limit=1, order="asc")] == [first.id, second.id]
    assert client.files.list(purpose="batch_output").data == []
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o700}

    assert client.files.delete(first.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(first.id)
    assert sorted(path.name for path in folder.iterdir()) == [f"{second.id}.json", f"{second.id}.jsonl"]


def test_a_large_file_goes_to_the_disk_and_not_through_the_memory(
    make_server: MakeServer, make_openai: MakeClient
) -> None:
    server = make_server()
    client = make_openai(server)
    status = Path(f"/proc/{worker_of(server)}/status")

    def peak_mib() -> int:
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) // 1024

    client.files.create(file=("small.jsonl", b"x"), purpose="batch")
    before = peak_mib()
    file = client.files.create(file=("large.jsonl", b"0123456789abcde\n" * (4 * MIB)), purpose="batch")

    assert file.bytes == 64 * MIB
    assert peak_mib() - before < 16


def test_what_is_no_file_of_a_batch_is_refused(server: LightServer, folder: Path) -> None:
    file = {"file": ("in.jsonl", b"x")}
    found = [
        post(server, file, purpose="fine-tune"),
        post(server, file),
        post(server, {"file": ("in.jsonl", b"")}, purpose="batch"),
        post(server, {"other": ("in.jsonl", b"x")}, purpose="batch"),
        post(server, [("file", ("a", b"x")), ("file", ("b", b"x"))], purpose="batch"),
        post(server, file, purpose="batch", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "1"}),
        requests.post(f"{server.url}/v1/files", headers=AUTHORIZATION, json={"purpose": "batch"}, timeout=30),
    ]

    assert [answer.status_code for answer in found] == [400] * len(found)
    codes = ["invalid_purpose", "invalid_purpose", "empty_file", "no_file", "several_files", "invalid_expires_after"]
    assert [answer.json()["error"]["code"] for answer in found] == [*codes, "no_file"]
    assert list(folder.iterdir()) == []


def test_who_sends_too_much_or_not_all_leaves_nothing(
    make_server: MakeServer, make_openai: MakeClient, tmp_path: Path
) -> None:
    server = make_server()
    client = make_openai(server)
    folder = server.settings.data_dir / "batches" / "files"
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 2 * MIB)
    with pytest.raises(openai.APIStatusError, match="200 MB at most") as error:
        client.files.create(file=large, purpose="batch")
    assert error.value.status_code == 413 and client.files.list().data == []

    half = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\nhalf'
    )
    with socket.create_connection(("127.0.0.1", server.settings.port)) as connection:
        connection.sendall(half.encode())
        wait_for(lambda: folder.exists() and any(folder.iterdir()), "it has begun")
    wait_for(lambda: not any(folder.iterdir()), "it is gone")


def test_a_full_folder_is_said(client: openai.OpenAI, folder: Path) -> None:
    folder.mkdir(parents=True)
    with (folder / "sparse").open("wb") as file:
        file.truncate(FOLDER_BYTES_MAX - 1000)

    with pytest.raises(openai.PermissionDeniedError, match="Delete files that you do not need"):
        client.files.create(file=("in.jsonl", b"x" * 2000), purpose="batch")
    client.files.create(file=("in.jsonl", b"x"), purpose="batch")


def test_a_full_disk_is_said(make_server: MakeServer, make_openai: MakeClient) -> None:
    server = make_server()
    worker = worker_of(server)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    with pytest.raises(openai.InternalServerError, match="could not be saved") as error:
        make_openai(server).files.create(file=("in.jsonl", b"x" * 200_000), purpose="batch")

    assert error.value.status_code == 507
    assert list((server.settings.data_dir / "batches" / "files").iterdir()) == []


def test_there_are_only_so_many_files(client: openai.OpenAI, folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(FILES_MAX):
        (folder / f"file-{number:032x}.json").write_text("{}")

    with pytest.raises(openai.PermissionDeniedError, match="the most that are kept"):
        client.files.create(file=("in.jsonl", b"x"), purpose="batch")


def test_a_file_that_a_batch_reads_stays(engine: BatchEngine, client: openai.OpenAI, folder: Path) -> None:
    batch = start_batch(client, chat_lines("hold one"))

    with pytest.raises(openai.ConflictError, match=batch.id):
        client.files.delete(batch.input_file_id)


def test_what_has_expired_is_removed_but_for_what_is_in_use(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for number, expires_at in enumerate((1, 1, None)):
        with store.new_content() as content:
            content.write(b"x")
            file = StoredFile(
                id=f"file-{number:032x}", filename="in", purpose="batch", bytes=1, created_at=number,
                expires_at=expires_at, caller="owner",
            )  # fmt: skip
            store.add(content, file)

    listed = [file.id[-1] for file in store.files("owner")]
    store.tidy({f"file-{1:032x}"})

    assert listed == ["2"]
    assert sorted(path.name[36] for path in (tmp_path / "files").glob("*.jsonl")) == ["1", "2"]

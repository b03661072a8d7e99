"""Files are kept once, whole or not at all, and come back as they were."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_hoster.attachments.store import AttachmentStore
from llm_hoster.errors import AttachmentError
from tests.attachments.made_files import paragraph, pdf, png, word

# Adds the same files again and again, and says so after each.
WRITER = """
import sys
from pathlib import Path
from llm_hoster.attachments.store import AttachmentStore
store = AttachmentStore(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    store.add(str(number).encode() * 100_000, "a.txt")
    print("a", end="", flush=True)
"""

# As if an earlier version had read less.
OLD = b'{"version": 0, "form": "word", "pages": ["less"], "media_type": "", "width": 0, "height": 0}'


@pytest.fixture
def store(tmp_path: Path) -> AttachmentStore:
    return AttachmentStore(tmp_path / "data" / "attachments")


def names(store: AttachmentStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def start_writer(store: AttachmentStore, number: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(store.folder), str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def assert_all_whole(store: AttachmentStore) -> None:
    for name in names(store):
        if len(name) == 64:
            assert hashlib.sha256((store.folder / name).read_bytes()).hexdigest() == name


def test_a_file_is_named_by_its_bytes_and_kept_for_its_owner_alone(store: AttachmentStore) -> None:
    previous = os.umask(0)
    try:
        attachment = store.add(b"text", "../a.txt")
    finally:
        os.umask(previous)
    assert attachment.id == hashlib.sha256(b"text").hexdigest()
    assert (attachment.name, attachment.kind, attachment.size) == ("a.txt", "text", 4)
    assert names(store) == [attachment.id, f"{attachment.id}.json"]
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in store.folder.iterdir()} == {0o600}
    assert store.data(attachment) == b"text"


def test_the_same_file_is_kept_and_read_once(store: AttachmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.add(pdf(["words"]), "a.pdf")
    before = {path.name: path.stat().st_mtime_ns for path in store.folder.iterdir()}
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    second = store.add(pdf(["words"]), "copy.pdf")
    assert (first.id, second.name) == (second.id, "copy.pdf")
    assert store.content(second).pages == ("words",)
    assert {path.name: path.stat().st_mtime_ns for path in store.folder.iterdir()} == before


def test_what_is_refused_is_not_kept(store: AttachmentStore) -> None:
    with pytest.raises(AttachmentError):
        store.add(pdf([""]), "scan.pdf")
    with pytest.raises(AttachmentError):
        store.add(b"a" * 2_000_001, "long.txt")
    assert not store.folder.exists()


@pytest.mark.parametrize("kept", [None, b"", b"{", b"[]", b'{"version": 1}', OLD, b"\xff"])
def test_a_lost_or_damaged_text_is_read_again(store: AttachmentStore, kept: bytes | None) -> None:
    attachment = store.add(word(paragraph("words")), "a.docx")
    path = store.folder / f"{attachment.id}.json"
    whole = path.read_bytes()
    path.unlink() if kept is None else path.write_bytes(kept)
    assert store.content(attachment).pages == ("words",)
    assert path.read_bytes() == whole


def test_damaged_bytes_are_told_and_mended_by_attaching_again(store: AttachmentStore) -> None:
    attachment = store.add(png(), "p.png")
    (store.folder / attachment.id).write_bytes(png()[:20])
    with pytest.raises(AttachmentError, match=r'"p\.png" was damaged on the disk .* Attach it again\.'):
        store.data(attachment)
    store.add(png(), "p.png")
    assert store.data(attachment) == png()


def test_a_removed_file_is_told(store: AttachmentStore) -> None:
    attachment = store.add(b"text", "a.txt")
    for path in store.folder.iterdir():
        path.unlink()
    for ask in (store.data, store.content):
        with pytest.raises(AttachmentError, match=r'"a\.txt" is not kept any more\. Attach it again\.'):
            ask(attachment)


def test_two_jobs_may_keep_the_same_file_at_once(store: AttachmentStore) -> None:
    with start_writer(store, 20) as one, start_writer(store, 20) as other:
        assert one.wait() == other.wait() == 0
    assert len(names(store)) == 40
    assert_all_whole(store)


def test_threads_may_keep_the_same_file_at_once(store: AttachmentStore) -> None:
    failed: list[BaseException] = []

    def add() -> None:
        try:
            store.add(b"text" * 100_000, "a.txt")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(names(store)) == 2


def test_a_killed_job_leaves_no_half_file(store: AttachmentStore) -> None:
    for length in (1, 5, 17):
        with start_writer(store, 10_000) as writer:
            assert writer.stdout is not None
            said = 0
            while said < length:
                said += len(os.read(writer.stdout.fileno(), length))
            writer.send_signal(signal.SIGKILL)
            said += len(writer.stdout.read())
        assert_all_whole(store)
        whole = [name for name in names(store) if len(name) == 64]
        assert len(whole) >= said
        assert store.add(b"0" * 100_000, "a.txt").id in whole


def test_only_old_leftovers_are_removed(store: AttachmentStore) -> None:
    attachment = store.add(b"text", "a.txt")
    for name in (".old", ".new"):
        (store.folder / name).write_bytes(b"half")
    for name in (".old", attachment.id):
        os.utime(store.folder / name, (1, 1))
    store.remove_leftovers()
    assert names(store) == [".new", attachment.id, f"{attachment.id}.json"]
    AttachmentStore(store.folder / "nowhere").remove_leftovers()


def test_a_limit_on_files_is_told_like_a_full_disk(store: AttachmentStore) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(AttachmentError, match=r'"a\.txt" was not kept, because the disk or your quota is full'):
            store.add(b"text" * 100_000, "a.txt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(store) == []
    assert store.data(store.add(b"text" * 100_000, "a.txt")) == b"text" * 100_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_what_was_kept_stays(small_disk: Path) -> None:
    store = AttachmentStore(small_disk / "attachments")
    kept = store.add(b"a" * 300_000, "a.txt")
    with pytest.raises(AttachmentError, match=r'"b\.txt" was not kept, because the disk or your quota is full'):
        store.add(b"b" * 900_000, "b.txt")
    assert names(store) == [kept.id, f"{kept.id}.json"]
    assert store.data(kept) == b"a" * 300_000


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = AttachmentStore(tmp_path / "file" / "attachments")
    with pytest.raises(AttachmentError, match=r'"a\.txt" was not kept: Not a directory\. Try again'):
        store.add(b"text", "a.txt")


def test_what_is_kept_is_bounded_told_and_removed(tmp_path: Path) -> None:
    store = AttachmentStore(tmp_path / "attachments", kept_max_bytes=10)
    assert store.kept() == {}
    first = store.add(b"123456", "a.txt")
    with pytest.raises(AttachmentError, match="take 0 MB, and at most 0 MB are kept"):
        store.add(b"78901", "b.txt")
    # What is here needs no room, and what just fits is taken.
    assert store.add(b"123456", "again.txt").id == first.id
    second = store.add(b"7890", "c.txt")
    assert store.kept() == {first.id: 6, second.id: 4}

    store.remove(first.id)
    store.remove(first.id)
    assert store.kept() == {second.id: 4}
    assert not any(name.startswith(first.id) for name in names(store))
    with pytest.raises(ValueError, match="SHA-256"):
        store.remove("../secret")

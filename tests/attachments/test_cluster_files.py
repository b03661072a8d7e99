"""Files of the cluster by their path, as the kernel lets their reader have them."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_hoster.attachments.bounds import FILE_MAX_BYTES
from llm_hoster.attachments.cluster_files import list_folder, read_cluster_file
from llm_hoster.errors import AttachmentError


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that an ordinary user could reach, too."""
    with tempfile.TemporaryDirectory(prefix="llmh-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read all."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def sentence_of(path: Path | str) -> str:
    with pytest.raises(AttachmentError) as raised:
        read_cluster_file(str(path))
    return str(raised.value)


def test_a_file_is_read_by_its_path_and_from_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a b.txt").write_bytes(b"text")
    assert read_cluster_file(f" {folder}/a b.txt\n") == b"text"
    monkeypatch.setenv("HOME", str(folder))
    assert read_cluster_file("~/a b.txt") == b"text"


def test_links_are_followed(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real" / "a.txt").write_bytes(b"text")
    (folder / "scratch").symlink_to("real")
    (folder / "link").symlink_to(folder / "scratch" / "a.txt")
    assert read_cluster_file(f"{folder}/link") == read_cluster_file(f"{folder}/scratch/../real/a.txt") == b"text"


def test_what_cannot_be_read_is_told_with_its_path(folder: Path) -> None:
    (folder / "locked.txt").write_text("secret")
    (folder / "locked.txt").chmod(0)
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        assert sentence_of(folder / "socket").startswith(f"{folder}/socket is a pipe, a socket or a device.")
    with ordinary_user():
        assert sentence_of(folder / "locked.txt").startswith(f"You may not read {folder}/locked.txt: ")
    assert sentence_of(folder / "none").startswith(f"There is no {folder}/none on this node.")
    assert sentence_of(folder / "locked.txt" / "a").startswith(f"There is no {folder}/locked.txt/a: a part of")
    assert sentence_of(folder).startswith(f"{folder} is a folder.")
    assert sentence_of(folder / "loop").startswith(f"{folder}/loop is a link that leads back to itself.")
    assert sentence_of(folder / "pipe").startswith(f"{folder}/pipe is a pipe, a socket or a device.")
    assert sentence_of("/dev/zero").startswith("/dev/zero is a pipe, a socket or a device.")
    assert sentence_of(folder / ("n" * 300)).endswith("File name too long. Try again, or copy the file elsewhere.")


@pytest.mark.parametrize("path", ["", "notes.txt", "../etc/passwd", "~root/a", "/etc/passwd\0.txt"])
def test_only_a_whole_path_is_taken(path: str) -> None:
    assert "is not a whole path. Begin it with / or with ~/" in sentence_of(path)


def test_a_hostile_path_is_told_in_one_line() -> None:
    assert sentence_of("/none\nYou may\x1b[31m\u202e") == "There is no /none You may[31m on this node. " + (
        "Check how it is written."
    )


def test_a_large_file_is_not_read(folder: Path) -> None:
    with (folder / "large.bin").open("wb") as file:
        file.truncate(FILE_MAX_BYTES + 1)
    assert sentence_of(folder / "large.bin").startswith('"large.bin" is too large.')
    (entry,) = list_folder(str(folder)).entries
    assert (entry.kind, entry.size) == ("file", FILE_MAX_BYTES + 1)
    assert entry.note.startswith('"large.bin" is too large.')


def test_a_folder_is_listed_with_folders_first(folder: Path) -> None:
    for name in ("b", "A"):
        (folder / name).mkdir()
    for name in ("z.txt", "C.txt", ".hidden"):
        (folder / name).write_bytes(b"text")
    (folder / "to_folder").symlink_to(folder / "b")
    (folder / "to_file").symlink_to("z.txt")
    (folder / "to_nothing").symlink_to("none")
    os.mkfifo(folder / "pipe")
    listed = list_folder(str(folder))
    assert (listed.path, listed.parent, listed.left_out) == (str(folder), str(folder.parent), 0)
    assert [(entry.name, entry.kind, entry.size, entry.leads_to) for entry in listed.entries] == [
        ("A", "folder", 0, ""),
        ("b", "folder", 0, ""),
        ("to_folder", "folder", 0, f"{folder}/b"),
        ("C.txt", "file", 4, ""),
        ("pipe", "other", 0, ""),
        ("to_file", "file", 4, f"{folder}/z.txt"),
        ("to_nothing", "other", 0, f"{folder}/none"),
        ("z.txt", "file", 4, ""),
    ]
    notes = {entry.name: entry.note for entry in listed.entries if entry.note}
    assert set(notes) == {"pipe", "to_nothing"}
    assert notes["to_nothing"].startswith(f"There is no {folder}/to_nothing")
    assert [entry.name for entry in list_folder(str(folder), shows_hidden=True).entries][3] == ".hidden"
    assert list_folder("/").parent is None


def test_what_its_reader_may_not_read_is_said(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o700)
    (folder / "locked.txt").write_text("secret")
    (folder / "locked.txt").chmod(0o600)
    (folder / "open.txt").write_text("text")
    if os.geteuid() != 0:
        (folder / "locked").chmod(0)
        (folder / "locked.txt").chmod(0)
    with ordinary_user():
        notes = [entry.note for entry in list_folder(str(folder)).entries]
        with pytest.raises(AttachmentError, match=f"You may not read {folder}/locked: the cluster refuses it"):
            list_folder(str(folder / "locked"))
    assert notes[0].startswith(f"You may not read {folder}/locked:")
    assert notes[1].startswith(f"You may not read {folder}/locked.txt:")
    assert notes[2] == ""


@pytest.mark.parametrize("name", ["none", "file/x", "file/x/y", "dead"])
def test_what_is_not_there_cannot_be_listed(folder: Path, name: str) -> None:
    (folder / "file").write_text("")
    (folder / "dead").symlink_to("nowhere")
    with pytest.raises(AttachmentError, match=f"There is no {folder}/{name}"):
        list_folder(str(folder / name))


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("25", "25"),
        ("25/", "25"),
        ("/25", "25"),
        ("./25", "25"),
        ("here/../25", "25"),
        ("25\n", "25"),
        ("link", "link"),
        (".hidden", ".hidden"),
        (" data .csv ", " data .csv "),
    ],
)
def test_a_file_that_is_asked_for_stands_first_in_its_folder(folder: Path, typed: str, name: str) -> None:
    for other in (*map("{:02}".format, range(30)), ".hidden", " data .csv "):
        (folder / other).write_text("text")
    (folder / "link").symlink_to("25")
    (folder / "here").mkdir()
    listed = list_folder(f"{folder}/{typed}", limit=10)
    assert listed.chosen == listed.entries[0].path
    assert (listed.entries[0].note, listed.is_listed) == ("", True)
    assert os.path.basename(listed.chosen) == name and read_cluster_file(listed.chosen) == b"text"
    assert [entry.path for entry in listed.entries].count(listed.chosen) == 1
    # Of the 33 that are not hidden, one may be chosen.
    assert (len(listed.entries), listed.left_out) == (11, 33 - 10 - (name != ".hidden"))


def test_a_name_with_a_space_behind_it_is_told_from_the_one_without(folder: Path) -> None:
    (folder / "a").write_text("without")
    assert read_cluster_file(f"{folder}/a ") == b"without"
    (folder / "a ").write_text("with")
    assert read_cluster_file(f"{folder}/a ") == b"with"
    assert list_folder(f"{folder}/a ").chosen == f"{folder}/a "


def test_a_path_is_left_to_the_kernel_where_a_link_is_on_its_way(folder: Path) -> None:
    (folder / "real" / "deep").mkdir(parents=True)
    (folder / "real" / "a.txt").write_text("real")
    (folder / "a.txt").write_text("beside the link")
    (folder / "link").symlink_to("real/deep")
    assert read_cluster_file(list_folder(f"{folder}/link//../a.txt").chosen) == b"real"


def test_a_file_can_be_chosen_in_a_folder_that_cannot_be_listed(folder: Path) -> None:
    (folder / "closed").mkdir()
    for name, mode in (("in.txt", 0o644), ("locked.txt", 0o600 if os.geteuid() == 0 else 0)):
        (folder / "closed" / name).write_text("inside")
        (folder / "closed" / name).chmod(mode)
    (folder / "closed").chmod(0o711 if os.geteuid() == 0 else 0o311)
    with ordinary_user():
        listed = list_folder(f"{folder}/closed/in.txt")
        locked = list_folder(f"{folder}/closed/locked.txt")
        assert read_cluster_file(listed.chosen) == b"inside"
    assert [(entry.name, entry.note) for entry in listed.entries] == [("in.txt", "")]
    assert (listed.path, listed.left_out, listed.is_listed) == (f"{folder}/closed", 0, False)
    assert [entry.note.split(":")[0] for entry in locked.entries] == [f"You may not read {folder}/closed/locked.txt"]
    (folder / "closed").chmod(0o755)


def test_what_is_no_file_says_so_in_its_folder(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        entry = list_folder(str(folder / name)).entries[0]
        assert (entry.name, entry.kind) == (name, "other") and "is a pipe" in entry.note


def test_a_long_folder_is_cut_and_says_how_much_is_left_out(folder: Path) -> None:
    for number in range(30):
        (folder / f"{number:02}").write_text("")
    listed = list_folder(str(folder), limit=10)
    assert [entry.name for entry in listed.entries] == [f"{number:02}" for number in range(10)]
    assert listed.left_out == 20


def test_hostile_names_are_shown_in_one_line(folder: Path) -> None:
    (folder / "a\n\x1b[31m\u202eb").write_text("")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt")).write_text("")
    odd, torn = list_folder(str(folder)).entries
    assert (odd.name, odd.note) == ("a [31mb", "")
    assert read_cluster_file(odd.path) == b""
    assert (torn.name, torn.kind, torn.path) == ("\ufffd.txt", "other", "")
    assert "its name is not UTF-8" in torn.note

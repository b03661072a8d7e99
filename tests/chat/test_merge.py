"""Histories of other jobs, taken into this one's."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.chat import merge
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.merge import Merger, history_path
from llm_hoster.chat.message import Message
from llm_hoster.chat.schema import CUT_OFF
from llm_hoster.engine.chain.predecessor import Predecessor
from llm_hoster.job_database import log_of
from llm_hoster.settings import WebSettings
from tests.chat.history_files import add_chat, grow_old, write_history, write_killed_old_file, write_old_file
from tests.saved_chats import read_saved
from tests.web_session import MakeClient, MakeSettings, WebServer


class Job:
    """One session's history, as its web app keeps it; it looks when it is told."""

    def __init__(self, settings: WebSettings) -> None:
        self.store = ConversationStore(history_path(settings))
        self.merger = Merger(self.store, settings.data_dir, settings.staged_root)
        self.store.is_gathering = True

    @property
    def path(self) -> Path:
        return self.store.path

    def look(self) -> None:
        self.merger.look()
        self.store.is_gathering = False

    def chats(self, key_id: str = "owner") -> set[str]:
        return {each.id for each in self.store.conversations(key_id, limit=10_000)}

    def merged(self) -> set[str]:
        return {name for (name,) in read_saved(self.path, "SELECT name FROM merged")}


MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(make_settings: MakeSettings, tmp_path: Path) -> Iterator[MakeJob]:
    jobs: list[Job] = []

    def make(session_id: str = "now", **changes: object) -> Job:
        staged_root = tmp_path / "staged" / session_id
        staged_root.mkdir(parents=True, exist_ok=True)
        jobs.append(Job(make_settings(session_id=session_id, staged_root=staged_root, **changes)))
        return jobs[-1]

    yield make
    for job in jobs:
        job.store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations"


def kill(job: Job) -> Path:
    """Leave the files as a killed process does, under another name."""
    path = job.path.with_name("killed.sqlite3")
    for each in job.path.parent.glob(f"{job.path.name}*"):
        target = path.with_name(path.name + each.name.removeprefix(job.path.name))
        target.write_bytes(each.read_bytes())
    return path


def test_the_chats_of_hundreds_of_ended_jobs_are_there(make_job: MakeJob, folder: Path) -> None:
    for number in range(200):
        write_history(folder / f"s{number}.sqlite3", f"c{number}", age_s=1000 - number)
    job = make_job()
    add_chat(job.store, "mine")
    job.look()

    assert job.chats() == {"mine", *(f"c{number}" for number in range(200))}
    assert [each.content for each in job.store.messages("c7", "owner")] == ["About c7", "An answer"]
    assert [each.conversation.id for each in job.store.search("c199", "owner")] == ["c199"]
    assert len(job.merged()) == 200


def test_each_file_is_read_once_also_through_others(
    make_job: MakeJob, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_history(folder / f"s{number}.sqlite3", f"c{number}", age_s=1000 - number)
    first = make_job("first")
    first.look()
    add_chat(first.store, "later")
    first.store.close()

    read: list[str] = []
    copied = merge._copied
    monkeypatch.setattr(
        merge, "_copied", lambda path, *rest, **more: read.append(path.name) or copied(path, *rest, **more)
    )
    second = make_job("second")
    second.look()
    second.look()

    assert second.chats() == {"c0", "c1", "c2", "later"}
    assert read == ["first.sqlite3"]


def test_a_large_history_takes_our_files_place_and_ours_is_in_it(make_job: MakeJob, folder: Path) -> None:
    write_history(folder / "s.sqlite3", *(f"c{number}" for number in range(50)))
    job = make_job()
    running = Message("mine", "assistant", "Half", state="running")
    job.store.add_turn(Message("mine", "user", "About apples"), running, "owner")
    number = job.path.stat().st_ino
    job.look()

    assert job.path.stat().st_ino != number
    running.content, running.state = "Pears", "done"
    job.store.save_message(running)
    assert job.chats() == {"mine", *(f"c{number}" for number in range(50))}
    assert job.store.messages("mine", "owner")[-1] == running
    assert [each.conversation.id for each in job.store.search("pears", "owner")] == ["mine"]
    assert [each.conversation.id for each in job.store.search("apples", "owner")] == ["mine"]
    assert read_saved(job.path, "SELECT count(*) FROM messages") == [(102,)]
    assert [each.name for each in folder.iterdir() if ".new" in each.name] == []


def test_a_job_that_runs_is_left_alone_until_it_ends(make_job: MakeJob) -> None:
    one, other = make_job("one"), make_job("other")
    add_chat(one.store, "of one")
    add_chat(other.store, "of other")
    for job in (one, other):
        job.look()
    assert (one.chats(), other.chats()) == ({"of one"}, {"of other"})

    one.store.close()
    other.look()

    assert other.chats() == {"of one", "of other"}


def test_a_job_that_was_killed_is_read_when_nothing_has_changed_for_a_while(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_job("one")
    reply = Message("c", "assistant", "River ", state="running")
    one.store.add_turn(Message("c", "user", "Go on"), reply, "owner")
    one.store.write_shown(reply.id, "text", 6, "mountain")
    kill(one)
    other = make_job("other")
    other.look()
    assert other.chats() == set()

    monkeypatch.setattr(merge, "SILENCE_S", -1.0)
    other.look()

    killed = other.store.messages("c", "owner")[-1]
    assert (killed.content, killed.state, killed.failure) == ("River mountain", "failed", CUT_OFF)


def test_a_killed_job_of_long_ago_is_read_at_once(make_job: MakeJob) -> None:
    one = make_job("one")
    add_chat(one.store, "c")
    grow_old(kill(one), 700)
    other = make_job("other")
    other.look()
    assert other.chats() == {"c"}


def test_a_file_that_goes_on_after_all_is_read_again(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = make_job("one"), make_job("other")
    reply = Message("c", "assistant", "Half", state="running")
    one.store.add_turn(Message("c", "user", "Go on"), reply, "owner")
    with monkeypatch.context() as patched:
        patched.setattr(merge, "SILENCE_S", -1.0)
        other.look()
    assert other.store.messages("c", "owner")[-1].failure == CUT_OFF

    reply.content, reply.state = "Whole", "done"
    one.store.save_message(reply)
    one.store.close()
    other.look()

    assert other.store.messages("c", "owner")[-1] == reply


def test_a_session_has_what_those_before_it_in_the_row_are_writing(make_job: MakeJob, tmp_path: Path) -> None:
    """It takes over while they run; and what they answer afterwards comes too."""
    before, after = make_job("s"), make_job("s-2")
    Predecessor(str(tmp_path / "staged" / "s"), "7", 1, "sk-x").write(tmp_path / "staged" / "s-2")
    add_chat(before.store, "c")
    reply = Message("d", "assistant", state="running")
    before.store.add_turn(Message("d", "user", "Go on"), reply, "owner")
    after.look()
    assert after.chats() == {"c", "d"}
    assert [each.content for each in after.store.messages("d", "owner")] == ["Go on"]

    reply.content, reply.state = "Done", "done"
    before.store.save_message(reply)
    after.look()

    assert [each.content for each in after.store.messages("d", "owner")] == ["Go on", "Done"]
    assert after.merged() == set()
    before.store.close()
    after.look()
    assert after.merged() == {"conversations/s.sqlite3"}


def test_the_later_state_of_a_conversation_stays(make_job: MakeJob, folder: Path) -> None:
    """Two jobs at once have the same chat: what either has added is there, and what was said last of it holds."""
    write_history(folder / "s.sqlite3", "c", "gone", age_s=100)
    one, other = make_job("one"), make_job("other")
    for job in (one, other):
        job.look()
    leaf = one.store.messages("c", "owner")[-1]
    one.store.change("c", "owner", {"title": "First", "folder": "Physics", "pinned": True})
    for job, text in ((one, "from one"), (other, "from other")):
        job.store.add_turn(Message("c", "user", text, parent_id=leaf.id), Message("c", "assistant", "x"), "owner")
    one.store.delete("gone", "owner")
    one.store.erase("gone", "owner")
    one.store.rate(leaf.id, 1, "owner")
    other.store.change("c", "owner", {"title": "Second"})
    one.store.close()
    other.look()

    conversation = other.store.find_conversation("c", "owner")
    assert conversation is not None and (conversation.title, conversation.folder) == ("Second", "")
    assert [each.content for each in other.store.messages("c", "owner")][2:] == ["from other", "x"]
    tree = other.store.tree("c", "owner")
    assert tree.siblings(other.store.messages("c", "owner")[2]).count == 2
    assert tree.branch(leaf.id)[-1].rating == 1
    assert other.chats() == {"c"}
    assert read_saved(other.path, "SELECT count(*) FROM messages WHERE conversation_id = 'gone'") == [(0,)]


def test_what_was_deleted_for_good_does_not_come_back_from_another_file(make_job: MakeJob, folder: Path) -> None:
    write_history(folder / "s.sqlite3", "c", age_s=100)
    job = make_job()
    job.look()
    job.store.delete("c", "owner")
    job.store.erase("c", "owner")
    os.utime(folder / "s.sqlite3")  # As if it had changed.
    job.look()

    assert job.chats() == set()
    assert read_saved(job.path, "SELECT count(*) FROM messages") == [(0,)]


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_versions_before_are_taken_in(make_job: MakeJob, tmp_path: Path, version: int) -> None:
    old = tmp_path / "data" / "history" / "s.sqlite3"
    write_old_file(old, version, state="running")
    grow_old(old, 1000)
    before = old.read_bytes()
    job = make_job()
    job.look()

    messages = job.store.messages("c", "owner" if version == 1 else "key-1")
    assert [message.content for message in messages] == ["Hello", "Hi", "More", "Half"]
    assert messages[-1].failure == CUT_OFF
    assert old.read_bytes() == before


def test_what_a_killed_process_of_the_version_before_left_half_written_is_undone(
    make_job: MakeJob, tmp_path: Path
) -> None:
    old = tmp_path / "data" / "history" / "s.sqlite3"
    old.parent.mkdir(parents=True)
    write_killed_old_file(old)
    grow_old(old, 1000)
    before = old.read_bytes()
    job = make_job()
    job.look()

    assert [message.content for message in job.store.messages("c", "key-1")] == ["Hello", "Hi", "More", "Half"]
    assert old.read_bytes() == before


def test_every_guest_finds_ones_own_again(make_job: MakeJob, folder: Path) -> None:
    write_history(folder / "s.sqlite3", "hers", key_id="key-1", age_s=100)
    write_history(folder / "t.sqlite3", "mine", age_s=100)
    job = make_job()
    job.look()

    assert (job.chats(), job.chats("key-1"), job.chats("key-2")) == ({"mine"}, {"hers"}, set())


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_none_is_set_aside_and_the_others_are_read(
    make_job: MakeJob, folder: Path, content: bytes
) -> None:
    write_history(folder / "good.sqlite3", "c", age_s=100)
    (folder / "bad.sqlite3").write_bytes(content)
    job = make_job()
    job.look()

    assert job.chats() == {"c"}
    kept = list(folder.glob("bad.sqlite3.corrupt-*"))
    assert [each.read_bytes() for each in kept] == ([content] if content else [])
    assert (job.store.notice is not None and str(kept[0]) in job.store.notice) if content else job.store.notice is None


def test_a_file_of_a_later_version_is_left_alone(make_job: MakeJob, folder: Path) -> None:
    write_history(folder / "s.sqlite3", "c", age_s=100)
    with contextlib.closing(merge.JobDatabase(folder / "s.sqlite3")) as later:
        later.connection.execute("PRAGMA user_version = 5")
    job = make_job()
    job.look()

    assert job.chats() == set()
    assert (folder / "s.sqlite3").exists() and job.store.notice is None


def test_an_old_file_is_removed_when_two_others_have_all_of_it(make_job: MakeJob, folder: Path) -> None:
    left = []
    for number in range(6):
        job = make_job(f"s{number}")
        job.look()
        add_chat(job.store, f"c{number}")
        job.store.close()
        grow_old(job.path, 100 - number)
        left.append(sorted(path.stem for path in folder.glob("*.sqlite3")))
        assert len(read_saved(job.path, "SELECT id FROM conversations")) == number + 1

    assert left[2:] == [["s0", "s1", "s2"], ["s1", "s2", "s3"], ["s2", "s3", "s4"], ["s3", "s4", "s5"]]


def test_no_file_is_removed_for_one_that_cannot_be_read(make_job: MakeJob, folder: Path) -> None:
    for number in range(3):
        job = make_job(f"s{number}")
        job.look()
        for chat in range(50):
            add_chat(job.store, f"c{number}-{chat}")
        job.store.close()
        grow_old(job.path, 100 - number)
    path = folder / "s1.sqlite3"
    times = path.stat()
    damaged = bytearray(path.read_bytes())
    damaged[-4096:] = os.urandom(4096)
    path.write_bytes(damaged)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # As a disk does it: nobody is told.
    make_job("s3").look()

    assert (folder / "s0.sqlite3").exists()


def test_a_history_that_is_begun_anew_gets_what_others_have_again(make_job: MakeJob, folder: Path) -> None:
    earlier = make_job("earlier")
    add_chat(earlier.store, "c")
    earlier.store.close()
    job = make_job()
    job.look()
    add_chat(job.store, "own")
    damaged = os.urandom(len(job.path.read_bytes()))
    job.path.write_bytes(damaged)
    log_of(job.path).write_bytes(b"")

    assert job.store.begin_anew()
    assert not job.store.begin_anew()
    job.look()

    assert job.chats() == {"c"}
    assert job.store.notice is not None and ".corrupt-" in job.store.notice


def test_the_file_of_a_running_session_is_never_set_aside(make_job: MakeJob, tmp_path: Path) -> None:
    """A copy may be wrong in the middle of a write."""
    before, after = make_job("s"), make_job("s-2")
    Predecessor(str(tmp_path / "staged" / "s"), "7", 1, "sk-x").write(tmp_path / "staged" / "s-2")
    before.store.file.path.write_bytes(b"x" * 5000)
    log_of(before.path).write_bytes(b"x" * 5000)
    after.look()
    assert before.path.exists() and after.store.notice is None


def test_a_full_disk_leaves_all_as_it_was_and_the_next_look_finds_it(
    make_job: MakeJob, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_history(folder / "s.sqlite3", "c", age_s=100)
    job = make_job()
    add_chat(job.store, "mine")

    for fault in (OSError(28, "No space left on device"), sqlite3.OperationalError("database or disk is full")):
        for place in ("copy_database", "merge_ids"):

            def no_room(*_: object, fault: Exception = fault, **__: object) -> None:
                raise fault

            with monkeypatch.context() as patched:
                patched.setattr(merge, place, no_room)
                job.look()
            assert job.chats() == {"mine"}
    job.look()
    assert job.chats() == {"mine", "c"}


def test_the_web_app_shows_what_earlier_sessions_have(make_client: MakeClient, tmp_path: Path) -> None:
    write_history(tmp_path / "data" / "conversations" / "s.sqlite3", "c" * 32, age_s=100)
    client = make_client()
    deadline = time.monotonic() + 10
    while "About ccc" not in client.get("/").get_data(as_text=True):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    page = client.get(f"/chat/{'c' * 32}").get_data(as_text=True)
    assert "An answer" in page


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGQUIT])
def test_a_web_app_that_ends_leaves_a_file_that_says_so(make_server: Callable[..., WebServer], ending: int) -> None:
    server = make_server()
    path = history_path(server.settings)
    assert log_of(path).exists()
    server.process.send_signal(ending)
    server.process.wait(30)
    assert [each.name for each in path.parent.iterdir()] == [path.name]

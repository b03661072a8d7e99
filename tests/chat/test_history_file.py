"""The history file across versions, kills, damage and a full disk."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message
from llm_hoster.chat.schema import CUT_OFF, SCHEMA_VERSION
from llm_hoster.chat.shown_text import ReadText, shown_paths
from llm_hoster.job_database import log_of
from tests.chat.history_files import add_chat, old_schema, write_history, write_killed_old_file, write_old_file
from tests.live_engine import wait_for
from tests.saved_chats import read_saved

# Says each word that it has shown, as a page would show it.
WRITER = """
import os, sys
from pathlib import Path
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.delta import Delta
from llm_hoster.chat.message import Message
from llm_hoster.chat.reply import Reply
import llm_hoster.chat.conversation as conversation
conversation.SYNC_S = 0.001
store = ConversationStore(Path(sys.argv[1]))
for number in range(1000):
    message = Message(f"c{number}", "assistant", id=f"r{number}", state="running")
    store.add_turn(Message(f"c{number}", "user", "Go on"), message, "owner")
    reply = Reply(message, "owner", store.write_shown)
    for word in range(200):
        reply.add(Delta(content=f"{word} ", reasoning=f"{word}. "))
        os.write(1, f"{number} {word}\\n".encode())
    reply.finish("done")
    store.save_message(message)
    os.write(1, f"{number} done\\n".encode())
"""


@pytest.mark.parametrize("lines", [1, 7, 150, 421, 2000])
def test_nothing_that_was_shown_is_lost_by_a_kill(tmp_path: Path, lines: int) -> None:
    """Killed at any moment, in the middle of saves and turns, twice: what was shown is there."""
    path = tmp_path / "job.sqlite3"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=environment) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.read().splitlines(keepends=True)
    *_, last = (line.decode().split() for line in said if line.endswith(b"\n"))

    with contextlib.closing(ConversationStore(path)) as store:
        number, word = int(last[0]), last[1]
        reply = store.find_message(f"r{number}", "owner")
        assert reply is not None
        if word == "done":
            assert reply.state == "done"
        else:
            assert (reply.state, reply.failure) == ("failed", CUT_OFF)
            assert reply.content.startswith("".join(f"{each} " for each in range(int(word) + 1)))
            assert reply.reasoning.startswith("".join(f"{each}. " for each in range(int(word) + 1)))
        for each in range(number):
            earlier = store.find_message(f"r{each}", "owner")
            assert earlier is not None and (earlier.state, len(earlier.content.split())) == ("done", 200)


@pytest.mark.parametrize(("version", "key_id"), [(1, "owner"), (2, "key-1")])
def test_files_of_versions_before_are_taken_over(tmp_path: Path, version: int, key_id: str) -> None:
    """In version 1 all was the owner's; and each message stood after the one before it."""
    path = tmp_path / "job.sqlite3"
    write_old_file(path, version, state="running")

    for _ in range(2):
        with contextlib.closing(ConversationStore(path)) as store:
            messages = store.messages("c", key_id)
            assert [message.content for message in messages] == ["Hello", "Hi", "More", "Half"]
            assert [message.parent_id for message in messages] == [None, "c1", "c2", "c3"]
            assert (messages[-1].state, messages[-1].failure) == ("failed", CUT_OFF)
            assert [each.title for each in store.conversations(key_id)] == ["Hello"]
            assert [each.conversation.id for each in store.search("more", key_id)] == ["c"]
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_file_of_the_version_before_files_could_be_attached_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "job.sqlite3"
    write_history(path, "c")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(
            "DROP INDEX attached_messages; ALTER TABLE messages DROP COLUMN attachments; "
            "ALTER TABLE messages DROP COLUMN sources; PRAGMA user_version = 3"
        )

    attachment = Attachment("a" * 64, "a.txt", "text", 3, characters=20)
    with contextlib.closing(ConversationStore(path)) as store:
        *_, last = store.messages("c", "owner")
        assert last.attachments == []
        question = Message("c", "user", "And this?", parent_id=last.id, attachments=[attachment])
        store.add_turn(question, Message("c", "assistant"), "owner")
    with contextlib.closing(ConversationStore(path)) as store:
        assert [message.attachments for message in store.messages("c", "owner")][-2:] == [[attachment], []]
        found, conversation = store.attachments("owner")[attachment.id]
        assert (found, conversation.id, store.attachments("key-1")) == (attachment, "c", {})


def test_what_a_process_of_the_version_before_left_half_written_is_undone_first(tmp_path: Path) -> None:
    path = tmp_path / "job.sqlite3"
    write_killed_old_file(path)

    with contextlib.closing(ConversationStore(path)) as store:
        assert [message.content for message in store.messages("c", "key-1")] == ["Hello", "Hi", "More", "Half"]


def test_what_was_shown_stays_written_as_long_as_it_cannot_be_saved_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_hoster.chat.conversation.SYNC_S", 0.01)
    rounds: list[None] = []
    save_live = ConversationStore._save_live
    monkeypatch.setattr(ConversationStore, "_save_live", lambda store: (save_live(store), rounds.append(None)))
    path, killed = tmp_path / "job.sqlite3", tmp_path / "killed.sqlite3"
    shown = shown_paths(path)
    with contextlib.closing(ConversationStore(path)) as store:
        reply = Message("c", "assistant", id="r", state="running")
        store.add_turn(Message("c", "user", "Go on"), reply, "owner")
        store.file.connection.execute("PRAGMA query_only = ON")
        for offset in range(20):
            reply.content += "x"
            store.write_shown("r", "text", offset, "x")
            rounds.clear()
            wait_for(lambda: len(rounds) > 2, "it tries to save")
        assert store.notice is not None
        for source, target in zip(
            [path, log_of(path), *shown], [killed, log_of(killed), *shown_paths(killed)], strict=True
        ):
            shutil.copyfile(source, target)
        store.file.connection.execute("PRAGMA query_only = OFF")
        wait_for(lambda: sum(each.stat().st_size for each in shown) == 0, "what was saved is not kept apart")
        assert store.notice is None
    with contextlib.closing(ConversationStore(killed)) as store:
        found = store.find_message("r", "owner")
        assert found is not None and found.content == "x" * 20


def test_pieces_are_put_together_in_their_order_and_half_a_line_is_none() -> None:
    lines = [
        b'["r", "text", 3, "def"]',
        b'["r", "text", 0, "abc"]',
        b'["r", "reasoning", 0, "x"]',
        b'["r", "text", 6, "g',
    ]
    assert ReadText(lines).complete("r", "text", "a") == "abcdef"
    assert ReadText(lines).complete("r", "text", "") == "abcdef"
    assert ReadText(lines[:1]).complete("r", "text", "a") == "a"


def test_a_session_touches_its_file_as_long_as_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_hoster.chat.conversation.SYNC_S", 0.01)
    monkeypatch.setattr("llm_hoster.chat.conversation.HEARTBEAT_S", 0.01)
    path = tmp_path / "job.sqlite3"
    with contextlib.closing(ConversationStore(path)):
        os.utime(path, (1.0, 1.0))
        wait_for(lambda: path.stat().st_mtime > 2.0, "it is touched")


def test_a_turn_is_on_disk_when_it_was_shown_and_the_file_says_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "job.sqlite3"
    with contextlib.closing(ConversationStore(path)) as store:
        add_chat(store, "c")
        assert read_saved(path, "SELECT count(*) FROM messages") == [(2,)]
        assert (tmp_path / "job.sqlite3-wal").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["job.sqlite3"]
    with contextlib.closing(ConversationStore(path)):
        assert (tmp_path / "job.sqlite3-wal").stat().st_size > 0


@pytest.mark.parametrize("damage", ["head", "middle", "text"])
def test_a_damaged_file_is_kept_and_a_new_one_begun(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "job.sqlite3"
    write_history(path, *(f"c{number}" for number in range(100)))
    content = bytearray(path.read_bytes())
    if damage == "head":
        content[:16] = b"x" * 16
    elif damage == "middle":
        content[4096 : len(content) // 2] = os.urandom(len(content) // 2 - 4096)
    else:
        content[:] = b"my notes\n" * 1000
    path.write_bytes(content)

    with contextlib.closing(ConversationStore(path)) as store:
        (kept,) = tmp_path.glob("job.sqlite3.corrupt-*")
        assert kept.read_bytes() == content
        assert store.notice is not None and str(kept) in store.notice
        add_chat(store, "new")
        assert [each.id for each in store.conversations("owner")] == ["new"]
    with contextlib.closing(ConversationStore(path)) as store:
        assert store.notice is None
        assert [each.id for each in store.conversations("owner")] == ["new"]


FULL = """
import sys
from pathlib import Path
import llm_hoster.chat.conversation as conversation
from llm_hoster.chat.message import Message
conversation.SYNC_S = 0.02
store = conversation.ConversationStore(Path(sys.argv[1]))
reply = Message("c", "assistant", "Half", id="r", state="running")
store.add_turn(Message("c", "user", "Go on"), reply, "owner")
print("asked", flush=True)
input()
reply.content, reply.state = "x" * 100_000, "done"
store.save_message(reply)
found = store.messages("c", "owner")[-1]
print(len(found.content), found.state, store.notice, flush=True)
try:
    store.add_turn(Message("d", "user", "y" * 100_000), Message("d", "assistant"), "owner")
except conversation.sqlite3.Error:
    print("refused", flush=True)
input()
while store.notice:
    pass
print("saved", flush=True)
input()
"""


def test_a_full_disk_is_told_and_nothing_in_memory_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "job.sqlite3"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", FULL, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as writer:  # fmt: skip
        assert writer.stdin is not None and writer.stdout is not None

        def go_on() -> str:
            assert writer.stdin is not None and writer.stdout is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
            return writer.stdout.readline()

        assert writer.stdout.readline() == "asked\n"
        limits = resource.prlimit(writer.pid, resource.RLIMIT_FSIZE)
        size = (tmp_path / "job.sqlite3-wal").stat().st_size
        resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (size + 50_000, limits[1]))
        told = go_on()
        assert told.startswith("100000 done The disk takes no more") and str(tmp_path) in told
        assert writer.stdout.readline() == "refused\n"
        resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, limits)
        assert go_on() == "saved\n"
        assert read_saved(path, "SELECT length(content), state FROM messages WHERE id = 'r'") == [(100_000, "done")]
        writer.kill()


def test_nobody_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While what was written is on its way to a disk that never answers, all goes on."""
    asked, go_on = [], False

    def fsync(number: int) -> None:
        asked.append(number)
        wait_for(lambda: go_on, "the disk answers")

    monkeypatch.setattr("llm_hoster.chat.conversation.SYNC_S", 0.01)
    monkeypatch.setattr("llm_hoster.job_database.os.fsync", fsync)
    with contextlib.closing(ConversationStore(tmp_path / "job.sqlite3")) as store:
        wait_for(lambda: bool(asked), "it is synced")
        add_chat(store, "c")
        assert len(store.messages("c", "owner")) == 2
        assert len(asked) == 1
        go_on = True


def test_what_is_deleted_can_be_restored_until_it_is_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job.sqlite3"
    store = ConversationStore(path)
    reply = add_chat(store, "c", "Where is the zanzibar?")
    add_chat(store, "d", "Where is the mombasa?")
    for chat in ("c", "d"):
        store.delete(chat, "owner")

    assert store.conversations("owner") == store.messages("c", "owner") == store.search("zanzibar", "owner") == []
    assert store.find_conversation("c", "owner") is store.find_message(reply.id, "owner") is None
    assert {each.id for each in store.deleted("owner")} == {"c", "d"}
    for act in (store.delete, store.restore, store.erase):
        with pytest.raises(LookupError):
            act("c", "key-1")
    with pytest.raises(LookupError):
        store.add_turn(Message("c", "user", "More"), Message("c", "assistant"), "owner")
    store.restore("c", "owner")
    assert [each.conversation.id for each in store.search("zanzibar", "owner")] == ["c"]

    store.delete("c", "owner")
    store.erase("c", "owner")
    store.erase_old()
    assert [each.id for each in store.deleted("owner")] == ["d"]
    monkeypatch.setattr("llm_hoster.chat.conversation.KEPT_DELETED_S", -1.0)
    store.erase_old()
    assert store.deleted("owner") == []
    with pytest.raises(LookupError):
        store.restore("d", "owner")
    store.close()
    content = path.read_bytes().lower()
    assert b"zanzibar?" not in content and b"mombasa?" not in content
    assert read_saved(path, "SELECT id FROM conversations ORDER BY id") == [("c",), ("d",)]


def test_an_old_schema_is_what_the_versions_before_wrote() -> None:
    """The tests stand on it: it must not follow today's."""
    assert "parent_id" not in old_schema(2) and "key_id" not in old_schema(1)


def test_only_the_owner_of_the_files_reads_them(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "conversations" / "job.sqlite3"
        with contextlib.closing(ConversationStore(path)) as store:
            add_chat(store, "c")
            store.write_shown("r", "text", 0, "Hello")
            modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert modes.keys() >= {"job.sqlite3", "job.sqlite3-wal", "job.sqlite3-shown-0"}
    assert set(modes.values()) == {0o600}

"""What people keep for later chats, on the disk and across jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.chat.conversation import KEPT_DELETED_S, ConversationStore
from llm_hoster.chat.merge import Merger, history_path
from llm_hoster.chat.message import Message
from tests.chat.history_files import add_chat, grow_old
from tests.web_session import MakeSettings

Open = Callable[[str], ConversationStore]


@pytest.fixture
def open_store(make_settings: MakeSettings) -> Iterator[Open]:
    stores: list[ConversationStore] = []

    def open_it(session_id: str) -> ConversationStore:
        stores.append(ConversationStore(history_path(make_settings(session_id=session_id))))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


def look(store: ConversationStore, make_settings: MakeSettings) -> None:
    """Take in what ended jobs have left."""
    settings = make_settings()
    Merger(store, settings.data_dir, settings.staged_root).look()


def titles(store: ConversationStore, key_id: str = "owner") -> list[str]:
    return [item.title for item in store.shelf.items("preset", key_id)]


@pytest.mark.parametrize("messages", [0, 1200], ids=["into a history that has little", "into one that has much"])
def test_what_an_earlier_job_kept_is_there_and_of_two_states_the_later_one(
    open_store: Open, make_settings: MakeSettings, messages: int
) -> None:
    first = open_store("first")
    both = first.shelf.put("preset", "Both", {"seed": 1}, "owner")
    gone = first.shelf.put("preset", "Gone", {}, "owner")
    first.shelf.put("preset", "A guests", {}, "key-1")
    first.shelf.mark_for_new_chats(both, "owner")
    first.close()

    second = open_store("second")
    if messages:
        # So much that the other file does not take the place of this one.
        database = second.file.connection
        add_chat(second, "c")
        for number in range(messages):
            database.execute(
                "INSERT INTO messages (id, conversation_id, role, content, reasoning, tool_calls, state, created_at, "
                "changed_at) VALUES (?, 'c', 'user', '', '', '[]', 'done', 1, 1)",
                (f"m{number}",),
            )
    second.shelf.put("preset", "Mine", {}, "owner")
    look(second, make_settings)
    assert titles(second) == ["Both", "Gone", "Mine"] and titles(second, "key-1") == ["A guests"]
    assert second.settings_of("new", "owner") == {"seed": 1} and second.settings_of("new", "key-1") == {}
    second.shelf.delete("preset", gone, "owner")
    second.shelf.put("preset", "Both", {"seed": 2}, "owner", both)
    second.close()

    third = open_store("third")
    look(third, make_settings)
    assert titles(third) == ["Both", "Mine"]
    assert third.settings_of("new", "owner") == {"seed": 2}
    third.shelf.restore("preset", gone, "owner")
    assert titles(third) == ["Both", "Gone", "Mine"]


@pytest.mark.parametrize("is_second_later", [False, True])
def test_two_jobs_at_once_have_both_what_either_kept_and_the_later_mark(
    open_store: Open, make_settings: MakeSettings, is_second_later: bool
) -> None:
    first, second = open_store("first"), open_store("second")
    marks = [
        (first, first.shelf.put("preset", "One", {"seed": 1}, "owner")),
        (second, second.shelf.put("preset", "Two", {"seed": 2}, "owner")),
    ]
    for store, preset in marks if is_second_later else reversed(marks):
        store.shelf.mark_for_new_chats(preset, "owner")
    first.close()
    second.close()
    last = open_store("last")
    look(last, make_settings)
    assert titles(last) == ["One", "Two"]
    assert last.settings_of("new", "owner") == {"seed": 2 if is_second_later else 1}


def test_another_ones_item_is_neither_found_nor_taken(open_store: Open) -> None:
    shelf = open_store("now").shelf
    mine = shelf.put("prompt", "Mine", {"text": "x"}, "owner")
    for work in (
        lambda: shelf.find("prompt", mine, "key-1"),
        lambda: shelf.find("preset", mine, "owner"),
        lambda: shelf.put("prompt", "Theirs", {}, "key-1", mine),
        lambda: shelf.put("preset", "Other", {}, "owner", mine),
        lambda: shelf.put("prompt", "Unknown", {}, "owner", "f" * 32),
        lambda: shelf.delete("prompt", mine, "key-1"),
        lambda: shelf.restore("prompt", mine, "owner"),
        lambda: shelf.mark_for_new_chats(mine, "owner"),
    ):
        with pytest.raises(LookupError):
            work()
    assert shelf.find("prompt", mine, "owner").title == "Mine"


def test_what_was_deleted_a_month_ago_is_erased(open_store: Open) -> None:
    store = open_store("now")
    secret = "a" * 40
    old, new = (store.shelf.put("prompt", title, {"text": secret}, "owner") for title in ("Old", "New"))
    store.shelf.delete("prompt", old, "owner")
    store.shelf.delete("prompt", new, "owner")
    store.shelf.erase_old(time.time() - KEPT_DELETED_S)
    store.shelf.restore("prompt", new, "owner")
    store.file.connection.execute("UPDATE shelf SET deleted_at = 1 WHERE id = ?", (old,))
    store.erase_old()
    with pytest.raises(LookupError):
        store.shelf.restore("prompt", old, "owner")
    rows = store.file.connection.execute("SELECT body FROM shelf WHERE id = ?", (old,)).fetchall()
    assert [row["body"] for row in rows] == ["{}"]


def test_a_file_of_this_version_from_before_there_were_presets_has_them_now(tmp_path: Path) -> None:
    path = tmp_path / "job.sqlite3"
    with contextlib.closing(ConversationStore(path)) as store:
        add_chat(store, "c")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE shelf")
    with contextlib.closing(ConversationStore(path)) as store:
        store.shelf.put("preset", "One", {}, "owner")
        assert titles(store) == ["One"] and len(store.messages("c", "owner")) == 2


KEPT = """
import sys
from pathlib import Path
from llm_hoster.chat.conversation import ConversationStore
store = ConversationStore(Path(sys.argv[1]))
store.shelf.put("preset", "Kept", {"seed": 1}, "owner")
store.save_settings("a" * 32, "owner", {"seed": 2})
print("kept", flush=True)
input()
"""


def test_what_was_kept_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "job.sqlite3"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", KEPT, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "kept\n"
        process.send_signal(signal.SIGKILL)
    with contextlib.closing(ConversationStore(path)) as store:
        assert titles(store) == ["Kept"] and store.settings_of("a" * 32, "owner") == {"seed": 2}


def test_settings_begin_a_chat_that_its_first_message_names(open_store: Open, make_settings: MakeSettings) -> None:
    store = open_store("first")
    store.save_settings("a", "owner", {"seed": 1})
    with pytest.raises(LookupError):
        store.save_settings("a", "key-1", {"seed": 2})
    assert store.conversations("owner") == [] and store.search("a", "owner") == []
    store.close()

    # Another job goes on with it.
    grow_old(store.path, 1000)
    later = open_store("later")
    look(later, make_settings)
    assert later.conversations("owner") == []
    later.add_turn(Message("a", "user", "About apples"), Message("a", "assistant", "Green"), "owner")
    (found,) = later.conversations("owner")
    assert (found.title, found.settings) == ("About apples", {"seed": 1})
    assert [each.conversation.id for each in later.search("apples", "owner")] == ["a"]
    later.delete("a", "owner")
    with pytest.raises(LookupError):
        later.save_settings("a", "owner", {})

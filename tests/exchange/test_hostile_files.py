"""Files that nobody has exported: each does no harm, and what is whole in it comes in."""

from __future__ import annotations

import json
import random
import struct
import zipfile
from typing import Any

import pytest

from llm_hoster.chat.exchange import archive, entry, import_run
from llm_hoster.chat.exchange.import_run import ImportRun
from llm_hoster.chat.exchange.own_format import SETTINGS_MAX
from llm_hoster.chat.exchange.placing import Placed
from llm_hoster.chat.exchange.remark import Ending, Remark
from tests.exchange.exchanged_files import (
    A,
    B,
    MakeStore,
    chatgpt,
    document,
    exported,
    make_store,
    node,
    open_webui,
    own,
    said,
    take_in,
    zipped,
)

__all__ = ["make_store"]
ODD: list[Any] = [None, True, 0, -1, 1.5, 1e308, 10**30, "", "x", "\0", "x" * 300, [], [[]], {}, {"a": [None]}, ["a"]]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[", b"nothing", b"\xff\xfe[]", b'"text"', b"12", b"[1", b"<html>", b"[" * 10**6, b"PK\x03\x04"],
)
def test_what_is_no_json_is_told_so(make_store: MakeStore, content: bytes) -> None:
    store = make_store()
    run = take_in(store, content)
    assert run.tally.ending in (Ending.NOTHING, Ending.ARCHIVE, Ending.BROKEN)
    assert exported(store) == [] and run.share == 1.0


def test_a_file_without_conversations_says_that_none_came_in(make_store: MakeStore) -> None:
    assert take_in(make_store(), b"[]").tally.sentences == ["No chat came in."]
    assert take_in(make_store(), b'\xef\xbb\xbf{"a": 1}').tally.remarks == {Remark.UNKNOWN: 1}


def test_of_a_file_that_is_cut_off_what_was_whole_comes_in(make_store: MakeStore) -> None:
    store = make_store()
    content = json.dumps(document(own(A), own(B))).encode()
    run = take_in(store, content[:-40])
    assert run.tally.ending is Ending.BROKEN and run.tally.placed == {Placed.ADDED: 1}
    assert [each["id"] for each in exported(store)] == [A]


def test_odd_values_anywhere_harm_nothing(make_store: MakeStore) -> None:
    """Each value of each kind of file, in turn and at random, becomes one of another kind."""
    store, chance = make_store(), random.Random(6)
    samples = [
        own(settings={"a": 1}, messages=[*own()["messages"], {"id": "f" * 32, "role": "user", "tool_calls": [{}]}]),
        chatgpt(node("q", "root", "user", "Hello"), node("a", "q", "assistant", "Hi"), current="a"),
        open_webui(said("q", None, "user", "Hello"), said("a", "q", "assistant", "Hi", usage={}), current="a"),
    ]
    spoilt = [put(each, path, odd) for each in samples for path in paths_of(each) for odd in chance.sample(ODD, 4)]
    assert len(spoilt) > 300
    run = take_in(store, [*spoilt, own(B, title="The last")])
    assert run.tally.ending is None
    assert sum(run.tally.placed.values()) + sum(run.tally.remarks[each] for each in LEFT_OUT) == len(spoilt) + 1
    found = exported(store)
    assert "The last" in [each["title"] for each in found]
    assert take_in(make_store(), document(*found)).tally.remarks.keys() <= {Remark.CIRCULAR}
    for each in found:
        assert store.messages(each["id"], "owner")


LEFT_OUT = (Remark.UNKNOWN, Remark.EMPTY, Remark.TOO_LARGE)


def paths_of(value: Any, *path: Any) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, below in inner for each in paths_of(below, *path, key))][0 if path else 1 :]


def put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], odd)
    return copy


def test_null_characters_and_halves_of_letters_are_replaced(make_store: MakeStore) -> None:
    store = make_store()
    content = json.dumps(document(own(title="A\0title \ud800"))).replace("So.", "S\\u0000o \\udfff")
    assert take_in(store, content.encode()).tally.placed == {Placed.ADDED: 1}
    (found,) = exported(store)
    assert found["title"] == "A\ufffdtitle ?" and "S\ufffdo \ufffd" in [each["content"] for each in found["messages"]]


def test_numbers_that_no_history_holds_are_left_out(make_store: MakeStore) -> None:
    store = make_store()
    spoilt = own()
    spoilt["messages"][1] |= {"prompt_tokens": 10**30, "completion_tokens": -1, "total_s": 1e300, "rating": 7}
    take_in(store, json.dumps(document(spoilt)).replace("1e+300", "1e999").encode())
    (found,) = [each for each in exported(store)[0]["messages"] if each["role"] == "assistant"]
    assert (found["prompt_tokens"], found["completion_tokens"], found["total_s"], found["rating"]) == (
        None,
        None,
        None,
        0,
    )


def test_times_to_come_do_not_stay_on_top(make_store: MakeStore) -> None:
    store = make_store()
    take_in(store, document(own(updated_at=9e12, created_at=1e300, changed_at=1e15)))
    (conversation,) = store.conversations("owner")
    store.change(A, "owner", {"title": "Changed"})
    assert exported(store)[0]["title"] == "Changed"
    assert conversation.updated_at < 4e9 and conversation.created_at < 4e9


def test_a_long_circle_and_a_deep_tree_are_read_to_their_ends(make_store: MakeStore) -> None:
    store = make_store()
    names = [f"{number:032x}" for number in range(1, 2001)]
    deep = [
        {"id": name, "parent_id": before, "role": "user", "content": name}
        for before, name in zip([None, *names], names, strict=False)
    ]
    circle = [dict(each, parent_id=each["parent_id"] or names[-1]) for each in deep]
    take_in(store, document(own(A, messages=deep, leaf_id=names[-1])))
    assert len(store.messages(A, "owner")) == 2000
    other = make_store()
    run = take_in(other, document(own(B, messages=circle, leaf_id=names[-1])))
    assert [each["parent_id"] for each in exported(other)[0]["messages"]].count(None) == 1
    assert run.tally.remarks == {Remark.CIRCULAR: 1}


def test_what_is_too_large_or_too_deep_is_left_out_alone(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "WEIGHT_MAX", 100_000)
    store = make_store()
    large = own("c" * 32, settings={"text": "x" * 100_000})
    deep: Any = []
    for _ in range(entry.DEPTH_MAX):
        deep = [deep]
    many = own("d" * 32, settings={"list": [0] * 3000})
    run = take_in(store, document(own(A), large, own("e" * 32, settings={"deep": deep}), many, own(B)))
    assert run.tally.remarks == {Remark.TOO_LARGE: 3}
    assert [each["id"] for each in exported(store)] == [A, B]


def test_a_long_text_is_cut_and_settings_that_are_too_large_are_left_out(make_store: MakeStore) -> None:
    store = make_store()
    long = own(A, settings={"text": "x" * (SETTINGS_MAX + 1)})
    long["messages"][1]["content"] = "y" * 1_000_001
    run = take_in(store, document(long))
    (found,) = exported(store)
    assert found["settings"] == {} and len(store.messages(A, "owner")[1].content) == 1_000_000
    assert run.tally.remarks == {Remark.CUT: 1, Remark.SETTINGS: 1}


def test_a_value_without_end_is_not_kept(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "SILENCE_MAX_BYTES", 200_000)
    store = make_store()
    content = json.dumps(document(own(A))).encode().removesuffix(b"]}")
    assert take_in(store, content + b', "' + b"x" * 10**6 + b'"]}').tally.ending is Ending.BROKEN
    assert take_in(store, content + b" " * 10**6 + b"]}").tally.ending is Ending.BROKEN
    assert [each["id"] for each in exported(store)] == [A]


def test_more_conversations_than_are_taken_are_left_in_the_file(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_run, "CONVERSATIONS_MAX", 2)
    run = take_in(make_store(), document(*(own(letter * 32) for letter in "abc")))
    assert run.tally.ending is Ending.TOO_MANY and run.tally.added == 2


def archives() -> dict[str, tuple[bytes, Ending]]:
    """Bombs and other archives that are none."""
    good = json.dumps([own(A)]).encode()
    encrypted = bytearray(zipped({"conversations.json": good}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(mark) + place] |= 1
    listed = zipped({"conversations.json": good})
    longer = bytearray(zipped({"conversations.json": good}, zipfile.ZIP_STORED))
    struct.pack_into("<I", longer, longer.index(b"PK\x01\x02") + 24, 2**31)
    return {
        "spaces": (zipped({"conversations.json": b"[" + b" " * (70 * 2**20)}), Ending.BOMB),
        "list": (listed.replace(b"PK\x05\x06", b"PK\x01\x02" * 60_000 + b"PK\x05\x06"), Ending.BOMB),
        "none": (zipped({"a.json": good, "conversations.json.exe": good}), Ending.NO_CONVERSATIONS),
        "encrypted": (bytes(encrypted), Ending.ARCHIVE),
        "cut": (listed[:-30], Ending.ARCHIVE),
        "lzma": (zipped({"conversations.json": good}, zipfile.ZIP_LZMA), Ending.ARCHIVE),
        "in itself": (zipped({"conversations.json": listed}), Ending.NOTHING),
    }


@pytest.mark.parametrize("name", list(archives()))
def test_bombs_and_broken_archives_are_refused(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(archive, "UNPACKED_MAX_BYTES", 32 * 2**20)
    content, ending = archives()[name]
    assert take_in(make_store(), content).tally.ending is ending


def test_a_second_member_has_only_what_the_first_has_left(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.dumps([own(A)]).encode()
    monkeypatch.setattr(archive, "UNPACKED_MAX_BYTES", 2 * len(content) - 1)
    run = take_in(make_store(), zipped({"conversations-1.json": content, "conversations-2.json": content}))
    assert run.tally.ending is Ending.BOMB and run.tally.added == 1


def test_undo_takes_out_what_came_in_and_was_left_alone(make_store: MakeStore) -> None:
    store = make_store()
    take_in(store, document(own("c" * 32)))
    run = take_in(store, document(own(A), own(B), own("c" * 32, title="Newer", changed_at=30.0)))
    store.change(B, "owner", {"title": "Mine now"})
    run.undo()
    assert run.undone == 1 and [each["id"] for each in exported(store)] == [B, "c" * 32]
    run.undo()
    assert run.undone == 1


def test_a_disk_that_takes_no_more_is_told(make_store: MakeStore) -> None:
    store = make_store()
    store.file.connection.execute("PRAGMA query_only = ON")
    run: ImportRun = take_in(store, document(own(A)))
    assert run.tally.ending is Ending.DISK
    store.file.connection.execute("PRAGMA query_only = OFF")
    assert take_in(store, document(own(A))).tally.added == 1

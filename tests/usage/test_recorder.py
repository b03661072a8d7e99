"""Requests on disk: begun, settled once, and there after any end of the process that writes them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_hoster.job_database import LOG_MAX_BYTES
from llm_hoster.usage import audit
from llm_hoster.usage.reading import read_usage, tokens_by_key
from llm_hoster.usage.record import RequestRecord
from llm_hoster.usage.recorder import Recorder
from llm_hoster.usage.store import UsageStore
from llm_hoster.usage.tokens import Tokens
from tests.usage.records import FACTS, made, only_group

WRITER = """
import os, sys
from pathlib import Path
from llm_hoster.usage.recorder import Recorder
from llm_hoster.usage.tokens import Tokens
from tests.usage.records import FACTS, made
recorder = Recorder(Path(sys.argv[1]), FACTS)
number = 0
while True:
    number += 1
    opened = recorder.begin(made(prompt_tokens=7, request_id=f"r{number}"))
    os.write(1, b"b")
    opened.settle(200, tokens=Tokens(1, 0, 2))
    os.write(1, b"s")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage" / "session-1.sqlite3"


@pytest.fixture
def recorder(path: Path) -> Iterator[Recorder]:
    with contextlib.closing(Recorder(path.parent, FACTS)) as recorder:
        yield recorder


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.with_name("session-1.audit.jsonl").read_text().splitlines()]


def test_a_request_is_on_disk_before_it_has_ended_and_again_when_it_has(recorder: Recorder, path: Path) -> None:
    opened = recorder.begin(made(prompt_tokens=7))
    begun = only_group(path)
    opened.settle(200, tokens=Tokens(3, 1, 2))
    settled = only_group(path)

    assert (begun.requests, begun.prompt_tokens, begun.estimated) == (1, 7, 1)
    assert (settled.requests, settled.errors, settled.prompt_tokens, settled.cached_tokens) == (1, 0, 3, 1)
    assert (settled.completion_tokens, settled.estimated) == (2, 0)


def test_a_request_is_charged_once_whoever_settles_it(recorder: Recorder, path: Path) -> None:
    heard: list[RequestRecord] = []
    recorder.listeners.append(heard.append)
    opened = recorder.begin(made())
    barrier = threading.Barrier(8)

    def settle(tokens: int) -> None:
        barrier.wait()
        opened.settle(200, tokens=Tokens(tokens))

    threads = [threading.Thread(target=settle, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(heard) == len(lines_of(path)) == 1
    assert only_group(path).prompt_tokens == heard[0].prompt_tokens
    assert recorder.running() == {"owner": 0}


def test_what_another_session_counts_is_not_counted(recorder: Recorder, path: Path) -> None:
    opened = recorder.begin(made())
    opened.forget()
    opened.settle(200, tokens=Tokens(3))

    assert read_usage(path, 0.0).groups == ()
    assert recorder.running() == {"owner": 0}
    assert not path.with_name("session-1.audit.jsonl").exists()


@pytest.mark.parametrize("letter", [b"b", b"s"], ids=["begun", "settled"])
def test_nothing_that_was_begun_or_settled_is_lost_by_a_kill(path: Path, letter: bytes) -> None:
    """Killed at any moment: what the writer had said is there, and at most one more than that."""
    for length in (1, 40, 333):
        folder = path.parent / f"{letter.decode()}{length}"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, env=environment
        ) as writer:
            assert writer.stdout is not None
            said = b""
            while said.count(letter) < length:
                said += os.read(writer.stdout.fileno(), length)
            writer.send_signal(signal.SIGKILL)
            said += writer.stdout.read()
        group = only_group(folder / "session-1.sqlite3")
        unsettled = group.estimated

        assert said.count(b"b") <= group.requests <= said.count(b"b") + 1
        assert group.requests - unsettled >= said.count(b"s")
        assert unsettled in (0, 1)
        assert group.completion_tokens == 2 * (group.requests - unsettled)


def test_what_a_killed_process_left_running_is_settled_by_the_next_one(path: Path) -> None:
    with contextlib.closing(UsageStore(path, FACTS)) as killed:
        killed.begin(made(prompt_tokens=7, request_id="r7"))
    with contextlib.closing(Recorder(path.parent, FACTS)):
        pass
    with contextlib.closing(Recorder(path.parent, FACTS)):
        pass

    (line,) = lines_of(path)
    assert (line["request_id"], line["error_code"], line["is_estimated"]) == ("r7", "session_killed", True)
    assert (only_group(path).errors, only_group(path).prompt_tokens) == (1, 7)


def test_a_reader_sees_a_whole_record_while_it_is_written_and_its_log_begun_anew(path: Path) -> None:
    """A reader that took locks, or the log for a dead session's, would undo what is being written."""
    ending = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not ending.is_set():
            number = store.begin(made(error_code="x" * 4000))
            store.settle(number, made(status=200, prompt_tokens=1))
            written += 1
            if written % 50 == 0:
                store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    with contextlib.closing(UsageStore(path, FACTS)) as store:
        thread = threading.Thread(target=write)
        thread.start()
        try:
            seen = [read_usage(path, 0.0).groups for _ in range(60)]
        finally:
            ending.set()
            thread.join()
        counts = [group.requests for groups in seen for group in groups]
        assert counts == sorted(counts)
        assert counts[-1] <= written
        assert store._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert only_group(path).requests == written


def test_a_log_that_is_begun_anew_during_the_copy_is_copied_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what went into the file meanwhile would be in neither copy."""
    copyfile = shutil.copyfile

    def copy_and_checkpoint(source: Path, target: Path) -> None:
        copyfile(source, target)
        if not copied:
            store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            store.begin(made())
        copied.append(source)

    copied: list[Path] = []
    with contextlib.closing(UsageStore(path, FACTS)) as store:
        store.begin(made())
        monkeypatch.setattr(shutil, "copyfile", copy_and_checkpoint)
        assert only_group(path).requests == 2
    assert len(copied) == 4


def test_the_file_keeps_the_first_end_of_a_request(path: Path) -> None:
    with contextlib.closing(UsageStore(path, FACTS)) as store:
        number = store.begin(made())
        store.settle(number, made(status=200, prompt_tokens=1))
        store.settle(number, made(status=502, prompt_tokens=2))
        assert (only_group(path).prompt_tokens, only_group(path).errors) == (1, 0)


def test_what_was_forgotten_is_brought_to_the_disk_and_nothing_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    with contextlib.closing(UsageStore(path, FACTS)) as store:
        number = store.begin(made())
        store.sync()
        monkeypatch.setattr(os, "fsync", synced.append)
        store.sync()
        assert synced == []
        store.forget(number)
        store.sync()
        assert len(synced) == 1


def test_the_log_is_cut_when_it_is_long(path: Path) -> None:
    with contextlib.closing(UsageStore(path, FACTS)) as store:
        log = path.with_name(f"{path.name}-wal")
        while log.stat().st_size <= LOG_MAX_BYTES:
            store.begin(made(model="m" * 100_000))
        store.sync()
        assert log.stat().st_size == 0
        before = only_group(path)
    assert only_group(path) == before


def test_refusals_are_counted_by_the_hour_and_strangers_only_written_down(path: Path) -> None:
    with contextlib.closing(Recorder(path.parent, FACTS)) as recorder:
        for _ in range(3):
            recorder.refuse(made(status=429, error_code="rate_limit_exceeded", model=""))
        recorder.refuse(made(status=429, error_code="rate_limit_exceeded", begun_at=1_800_003_600.0, model=""))
        recorder.refuse(made(status=401, error_code="invalid_api_key", key_id="", key_name="", model=""))

    assert (only_group(path).refused, only_group(path).requests) == (4, 0)
    assert [line["status"] for line in lines_of(path)] == [429] * 4 + [401]
    assert lines_of(path)[-1]["address"] == "10.0.0.1"
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT requests FROM refusals").fetchall() == [(3,), (1,)]


def test_the_files_are_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with contextlib.closing(Recorder(tmp_path / "usage", FACTS)) as recorder:
            recorder.begin(made()).settle(200)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "usage").stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "usage").iterdir()}
    assert set(modes.values()) == {0o600}
    assert {"session-1.sqlite3", "session-1.audit.jsonl"} <= set(modes)


def test_the_audit_log_is_rotated(tmp_path: Path) -> None:
    with contextlib.closing(audit.AuditLog(tmp_path / "a.jsonl")) as log:
        line = made(model="m" * 1_000_000)
        for _ in range(audit.FILE_MAX_BYTES // 1_000_000 * 3 + 2):
            log.write(line)
    with pytest.raises(OSError, match="No such file"), contextlib.closing(audit.AuditLog(Path("/proc/none"))) as full:
        full.write(made())
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["a.jsonl", "a.jsonl.1", "a.jsonl.2", "a.jsonl.3"]
    assert max(file.stat().st_size for file in tmp_path.iterdir()) <= audit.FILE_MAX_BYTES


def test_a_disk_that_takes_no_more_ends_no_request(
    recorder: Recorder, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[RequestRecord] = []
    recorder.listeners.append(heard.append)
    recorder._store.close()  # As a full disk, it raises at every use.
    recorder._audit.baseFilename = "/proc/none"

    recorder.begin(made()).settle(200, tokens=Tokens(3))
    recorder.refuse(made(status=429))

    assert [record.status for record in heard] == [200, 429]
    assert len([record for record in caplog.records if "cannot be written" in record.message]) == 1


def test_the_tokens_of_each_key_for_limits_over_sessions(recorder: Recorder, path: Path) -> None:
    for key, tokens in (("owner", 5), ("key-1", 7), ("key-1", 1)):
        recorder.begin(made(key_id=key)).settle(200, tokens=Tokens(tokens, 1, 2))
    assert tokens_by_key(path) == {"owner": 7, "key-1": 12}


def test_what_ends_after_the_end_opens_no_file_again(tmp_path: Path) -> None:
    log = audit.AuditLog(tmp_path / "a.jsonl")
    log.write(made())
    log.close()

    log.write(made())

    assert log.stream is None
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 1

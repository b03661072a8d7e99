"""
What other jobs of the same person have written, taken into this job's own history.

Ids are unique in the world, so histories are sets: what is missing is added, and of two states of one row the later one
stays. A file is read when its session has ended: then it has no log beside it, or it is silent. Sessions touch their
files every quarter of a minute; where a clock of another machine could matter, our own clock measures how long nothing
has changed. A mistake does no harm: a file that changes afterwards is read again. In a row of sessions those before
this one are read while they run, because this one takes over from them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.merge_rows import add_merged, changed_ids, merge_ids, merge_rows, merge_shelf, merged_files
from llm_hoster.chat.schema import DAMAGED, NewerHistoryError, is_damage, open_history, require_whole, set_aside
from llm_hoster.chat.shown_text import shown_paths
from llm_hoster.engine.chain.predecessor import read_predecessor
from llm_hoster.job_database import JobDatabase, copy_database, journal_of, log_of, opened_copy
from llm_hoster.settings import WebSettings

FOLDER = "conversations"
# Where the version before kept them.
OLD_FOLDER = "history"
LOOK_S = 60.0
# In a row of sessions people change over at once, and find what they wrote a moment ago.
LOOK_IN_ROW_S = 5.0
# Slurm needs clocks that differ by less than five minutes; a file that is older than this by them is silent.
OLD_S = 600.0
SILENCE_S = 120.0
# Conversations that are merged while pages wait: some tens of milliseconds.
BATCH = 10
# Messages that our own file may have when another takes its place.
OWN_MAX = 1000
# Other files that must have all of a file before it is removed.
KEEPERS = 2

log = logging.getLogger(__name__)


def history_path(settings: WebSettings) -> Path:
    """Name the one file that this session writes."""
    return settings.data_dir / FOLDER / f"{settings.session_id}.sqlite3"


@dataclass(frozen=True)
class OtherFile:
    """
    `fingerprint` changes with the file, `log_fingerprint` when something is written into one that is open.

    There is a log beside a file that is open, or whose process was killed.
    """

    path: Path
    fingerprint: str
    log_fingerprint: str
    changed_at: float

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def has_log(self) -> bool:
        return bool(self.log_fingerprint)

    @property
    def is_of_old_version(self) -> bool:
        return self.path.parent.name == OLD_FOLDER


class Merger:
    """Looks once a minute, in a thread of its own."""

    def __init__(self, store: ConversationStore, data_dir: Path, staged_root: Path) -> None:
        self._store = store
        self._staged_root = staged_root
        self._folders = [data_dir / FOLDER, data_dir / OLD_FOLDER]
        # When we first saw a file as it is; and those of which nothing more is to be had.
        self._seen: dict[str, tuple[str, float]] = {}
        self._done: dict[str, str] = {}
        self._times_begun = store.times_begun

    def start(self) -> None:
        self._store.is_gathering = True
        threading.Thread(target=self._run, name="merge", daemon=True).start()

    def _run(self) -> None:
        pause_s = 0.0
        while not self._store.ending.wait(pause_s):
            began = time.monotonic()
            try:
                self.look()
            except Exception:  # Whatever it was, the chat goes on, and the next look may do better.
                log.exception("the conversations of earlier sessions cannot be read")
            self._store.is_gathering = False
            # A large file of a session that still runs must not be read all the time.
            pause_s = max(LOOK_IN_ROW_S if self._predecessors() else LOOK_S, 20 * (time.monotonic() - began))

    def look(self) -> None:
        """Take in what can be had now; then remove files that nobody needs."""
        with contextlib.suppress(OSError):
            os.utime(self._store.path)
        if self._times_begun != self._store.times_begun:
            self._times_begun = self._store.times_begun
            self._done.clear()
        before = {each.name for each in self._predecessors()}
        others = sorted(self._others(), key=lambda other: other.changed_at, reverse=True)
        over = [other for other in others if self._is_over(other)]
        # Those that run come last: of a file that can take the place of ours, they have most already.
        for other in [*over, *(other for other in others if other not in over and other.path.stem in before)]:
            is_over = other in over
            if self._store.ending.is_set():
                return
            known = self._merged().get(other.name) if is_over else None
            mark = other.fingerprint if is_over else other.log_fingerprint
            if mark not in {known, self._done.get(other.name)}:
                self._done[other.name] = mark
                self._take(other, is_over=is_over)
        if self._store.is_gathering:
            self._store.erase_old()
            self._remove_old(over)

    def _predecessors(self) -> list[Path]:
        predecessor = read_predecessor(self._staged_root)
        return [] if predecessor is None else predecessor.folders()

    def _others(self) -> Iterator[OtherFile]:
        for folder in self._folders:
            names = set(os.listdir(folder)) if folder.is_dir() else set()
            for name in names:
                path = folder / name
                if path == self._store.path or not name.endswith(".sqlite3"):
                    continue
                parts = [path, *(part for part in (log_of(path), journal_of(path)) if part.name in names)]
                with contextlib.suppress(FileNotFoundError):
                    found = {part: part.stat() for part in parts}
                    marks = {part: f"{each.st_size}:{each.st_mtime_ns}" for part, each in found.items()}
                    yield OtherFile(
                        path=path,
                        fingerprint=" ".join(marks.values()),
                        log_fingerprint=marks.get(log_of(path), ""),
                        changed_at=max(each.st_mtime for each in found.values()),
                    )

    def _is_over(self, other: OtherFile) -> bool:
        """Files of the version before never have a log, nor a heartbeat."""
        if not other.has_log and not other.is_of_old_version:
            return True
        fingerprint, since = self._seen.get(other.name, ("", 0.0))
        if fingerprint != other.fingerprint:
            since = time.monotonic()
            self._seen[other.name] = (other.fingerprint, since)
        is_old = self._store.path.stat().st_mtime - other.changed_at > OLD_S
        return is_old or time.monotonic() - since > SILENCE_S

    def _take(self, other: OtherFile, *, is_over: bool) -> None:
        try:
            with _copied(other.path, self._store.path, is_over=is_over) as copy:
                if is_over:
                    add_merged(copy.connection, {other.name: other.fingerprint})
                copy.close()
                if is_over and self._is_fresh():
                    self._adopt(copy.path)
                else:
                    self._merge(copy.path, is_over=is_over)
        except NewerHistoryError:
            log.warning("%s is of a later version; its conversations are not shown", other.path)
        except (OSError, sqlite3.Error) as error:
            del self._done[other.name]
            if self._store.ending.is_set():
                return
            if is_over and is_damage(error):
                self._store.tell_damage(DAMAGED.format(path=set_aside(other.path)))
            log.error("%s cannot be read: %s", other.path, error)

    def _merged(self) -> dict[str, str]:
        with self._store.file.lock:
            return merged_files(self._store.file.connection)

    def _is_fresh(self) -> bool:
        """Whether this history has so little that another one can take its place with that added."""
        with self._store.file.lock:
            database = self._store.file.connection
            (number,) = database.execute("SELECT count(*) FROM (SELECT 1 FROM messages LIMIT ?)", (OWN_MAX,)).fetchone()
            return number < OWN_MAX and not merged_files(database)

    def _adopt(self, copy: Path) -> None:
        """Go on with a whole file instead of reading it row by row, its index of words among it."""

        def bring_ours(database: sqlite3.Connection) -> None:
            _attach(database, copy)
            try:
                ids = [row[0] for row in database.execute("SELECT id FROM main.conversations")]
                merge_ids(database, ids, source="main", target="other", are_running_ours=True)
                merge_shelf(database, source="main", target="other")
            finally:
                _detach(database)

        self._store.file.replace_by(copy, bring_ours)

    def _merge(self, copy: Path, *, is_over: bool) -> None:
        file = self._store.file
        with file.lock:
            _attach(file.connection, copy)
        try:
            with file.lock:
                merge_shelf(file.connection, source="other", target="main")
                ids = changed_ids(file.connection)
            for start in range(0, len(ids), BATCH):
                began = time.monotonic()
                with file.lock:
                    merge_ids(file.connection, ids[start : start + BATCH], source="other", target="main")
                # Whoever waits for the lock has it for as long as we had it.
                if self._store.ending.wait(time.monotonic() - began):
                    return
            if is_over:
                with file.lock:
                    merge_rows(file.connection)
        finally:
            with file.lock:
                _detach(file.connection)

    def _remove_old(self, over: list[OtherFile]) -> None:
        """Remove files of which two others have all; the oldest first, so that a chain of them stays whole."""
        merged = self._merged()
        left = {other.name: other for other in over if merged.get(other.name) == other.fingerprint}
        holders: dict[str, dict[str, str]] = {}
        for other in sorted(left.values(), key=lambda each: each.changed_at):
            keepers = 0
            for name in left.keys() - {other.name}:
                if name not in holders:
                    holders[name] = _merged_in(left[name])
                keepers += holders[name].get(other.name) == other.fingerprint
            if keepers >= KEEPERS:
                log.info("%s is removed: two later histories have all of it", other.path)
                del left[other.name]
                for part in (*shown_paths(other.path), journal_of(other.path), log_of(other.path), other.path):
                    part.unlink(missing_ok=True)


def _merged_in(other: OtherFile) -> dict[str, str]:
    """Give what a file has of others; nothing where it is of the version before, or cannot be read."""
    if other.is_of_old_version:
        return {}
    try:
        with opened_copy(other.path) as database:
            require_whole(database)
            return merged_files(database)
    except (OSError, sqlite3.Error):
        return {}


@contextlib.contextmanager
def _copied(path: Path, beside: Path, *, is_over: bool) -> Iterator[JobDatabase]:
    """Open a copy in the form of today, on the disk of our own file, which it may replace."""
    copy = beside.with_name(f"{beside.name}.new")
    parts = (*shown_paths(copy), journal_of(copy), log_of(copy), copy)
    try:
        copy_database(path, copy)
        for source, target in zip(shown_paths(path), shown_paths(copy), strict=True):
            with contextlib.suppress(FileNotFoundError):
                target.write_bytes(source.read_bytes())
        file = open_history(copy, is_over=is_over)
        try:
            yield file
        finally:
            file.close()
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _attach(database: sqlite3.Connection, path: Path) -> None:
    database.execute("ATTACH ? AS other", (str(path),))


def _detach(database: sqlite3.Connection) -> None:
    if database.in_transaction:
        database.execute("ROLLBACK")
    database.execute("DETACH other")

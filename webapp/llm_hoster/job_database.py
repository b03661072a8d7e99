"""
An SQLite file that one job alone writes, on any file system, and the way to read it from beside that job.

Network file systems have no dependable locks and no memory that nodes share, so each job has files of its own and
SQLite takes no locks (`unix-none`). A change is one `write` to the end of SQLite's write-ahead log: the kernel keeps it
when the process is killed, and nobody waits for a disk. `sync` makes it outlast the node as well, from a thread of its
own. On network file systems that log is unsafe for its shared memory only, which does not exist when one process opens
the file for itself (sqlite.org/wal.html, 8).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

LOG_MAX_BYTES = 8 * 1024 * 1024
# What tells whether the log was begun anew.
LOG_HEAD_BYTES = 32
COPY_TRIES = 20

Prepare = Callable[[sqlite3.Connection], None]


def _do_nothing(_: sqlite3.Connection) -> None:
    """Leave the connection as it is."""


class JobDatabase:
    """Whoever uses `connection` holds `lock` meanwhile; all methods take it themselves."""

    def __init__(
        self, path: Path, prepare: Prepare = _do_nothing, *, check: Prepare = _do_nothing, page_bytes: int = 4096
    ) -> None:
        """
        Open the file, or make it for its owner alone.

        What a killed process left is recovered, from either kind of journal; `check` may raise before anything is
        written. `prepare` is called with each connection that takes the place of another, too.
        """
        self.path = path
        self.lock = threading.Lock()
        self._prepare = prepare
        self._page_bytes = page_bytes
        # No count that there is: what was made while opening shall be synced too.
        self._synced_changes = -1
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.connection = self._open(check)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                # A COMMIT for which the disk has no room may have ended the transaction by itself.
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def sync(self, heartbeat: str | None = None, *values: float) -> None:
        """
        Make what is written outlast the node, and the log short. Only the latter keeps others waiting.

        `heartbeat` is a statement that says that the process is there; alone it is not worth the disk's time.
        """
        with self.lock:
            is_synced = self.connection.total_changes == self._synced_changes
            if heartbeat is not None:
                self.connection.execute(heartbeat, values)
            self._synced_changes = self.connection.total_changes
        try:
            with closing(_Descriptor(log_of(self.path))) as log:
                if not is_synced:
                    os.fsync(log.number)
                is_long = os.fstat(log.number).st_size > LOG_MAX_BYTES
            if is_long:
                with self.lock:
                    self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except FileNotFoundError:  # Nothing was written yet.
            return
        except BaseException:
            self._synced_changes = -1
            raise

    def replace_by(self, other: Path, finish: Callable[[sqlite3.Connection], None]) -> None:
        """Go on with `other`, which is closed, in place of the file, when `finish` has done what it must before."""
        with self.lock:
            finish(self.connection)
            self.connection.close()
            try:
                if log_of(self.path).exists():
                    # It would be taken for the log of the other one.
                    raise OSError(f"{self.path} could not be closed")
                os.replace(other, self.path)
            finally:
                self.connection = self._open()
                self._synced_changes = -1

    def begin_anew(self, set_aside: Callable[[Path], Path]) -> Path:
        """Go on with an empty file; `set_aside` gives the one there is another name, which is returned."""
        with self.lock:
            kept = set_aside(self.path)
            # Not before: what closes it would put the log into what is to be kept as it is.
            with contextlib.suppress(sqlite3.Error):
                self.connection.close()
            self.connection = self._open()
            self._synced_changes = -1
        return kept

    def close(self) -> None:
        """Put the log into the file, and both on the disk. No log beside a file says that it was closed."""
        with self.lock:
            self.connection.close()

    def _open(self, check: Prepare = _do_nothing) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        self.path.chmod(0o600)
        connection = sqlite3.connect(address_of(self.path), uri=True, check_same_thread=False, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size = {self._page_bytes}")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            check(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


class _Descriptor:
    """A file that is open to be synced. Closing it gives up no lock of SQLite's, which has none here."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        os.close(self.number)


def address_of(path: Path) -> str:
    return f"file:{quote(os.fsencode(path.absolute()))}?vfs=unix-none"


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def journal_of(path: Path) -> Path:
    """Name the journal that SQLite keeps without a write-ahead log."""
    return path.with_name(f"{path.name}-journal")


@contextmanager
def opened_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """
    Open a copy: whoever opened the file of a running job would take its log for a dead one's.

    Raise OSError or sqlite3.Error where that fails.
    """
    with tempfile.TemporaryDirectory(prefix="llmh-read-") as name:
        copy = Path(name) / "copy.sqlite3"
        copy_database(path, copy)
        with closing(sqlite3.connect(copy)) as database:
            yield database


def copy_database(path: Path, copy: Path) -> None:
    """
    Copy a file and its log. The log's salts say whether it was begun anew meanwhile, and the checksums of its frames
    where the copy ends.
    """
    for _ in range(COPY_TRIES):
        before = _log_head(path)
        shutil.copyfile(path, copy)
        for part in (log_of, journal_of):
            part(copy).unlink(missing_ok=True)
        if before:
            shutil.copyfile(log_of(path), log_of(copy))
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(journal_of(path), journal_of(copy))
        if _log_head(path) == before:
            return
    raise OSError("it changed too fast to be copied")


def _log_head(path: Path) -> bytes:
    try:
        with log_of(path).open("rb") as log:
            return log.read(LOG_HEAD_BYTES)
    except FileNotFoundError:
        return b""

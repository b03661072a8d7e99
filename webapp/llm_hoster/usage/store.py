"""
The requests of this job on disk: one SQLite file for each job, written by this process alone.

A request is on disk before the engine hears of it, and waits for no disk: job_database.py says how.
"""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass, fields, replace
from operator import attrgetter
from pathlib import Path

from llm_hoster.job_database import JobDatabase
from llm_hoster.usage.record import SESSION_KILLED, RequestRecord

SCHEMA_VERSION = 1
COLUMNS = tuple(field.name for field in fields(RequestRecord) if field.name != "prompt")
SETTLED = COLUMNS[COLUMNS.index("status") :]
VALUES = attrgetter(*COLUMNS)
SETTLED_VALUES = attrgetter(*SETTLED)
SCHEMA = f"""
CREATE TABLE session (
    session_id TEXT, model_title TEXT, staged_root TEXT, started_at REAL, su_per_hour REAL, seen_at REAL
);
CREATE TABLE requests (number INTEGER PRIMARY KEY, {", ".join(COLUMNS)});
CREATE TABLE refusals (
    hour_at REAL, key_id TEXT, key_name TEXT, route TEXT, status INTEGER, error_code TEXT, requests INTEGER,
    PRIMARY KEY (hour_at, key_id, route, status, error_code)
) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
"""
BEGIN = f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
SETTLE = (
    f"UPDATE requests SET {', '.join(f'{name} = ?' for name in SETTLED)} "  # noqa: S608
    "WHERE number = ? AND status IS NULL"
)
# A client that does not heed 429 may be refused a thousand times a second: one row counts an hour of that.
REFUSE = (
    "INSERT INTO refusals VALUES (?, ?, ?, ?, ?, ?, 1) "
    "ON CONFLICT (hour_at, key_id, route, status, error_code) DO UPDATE SET requests = requests + 1"
)
HOUR_S = 3600
# A row is a few hundred bytes, and a change writes a page.
PAGE_BYTES = 1024


@dataclass(frozen=True)
class SessionFacts:
    """What a session's SU are reckoned from; times are Unix seconds."""

    session_id: str
    model_title: str
    staged_root: str
    started_at: float
    su_per_hour: float


class UsageStore:
    """All methods may be called from any thread; they raise sqlite3.Error where the disk takes no more."""

    def __init__(self, path: Path, facts: SessionFacts) -> None:
        """Open the file, or make it for its owner alone; `aborted` are what a killed process left running."""
        self._file = JobDatabase(path, page_bytes=PAGE_BYTES)
        # Taken out of it: `begin` and `settle` are in the way of every request.
        self._lock = self._file.lock
        self._database = self._file.connection
        if self._database.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._database.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            self._database.execute("INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)", (*astuple(facts), time.time()))
        self.aborted = self._settle_aborted()

    def begin(self, record: RequestRecord) -> int:
        """Write it, and give the number under which it will be settled."""
        with self._lock:
            number = self._database.execute(BEGIN, VALUES(record)).lastrowid
            assert number is not None  # noqa: S101 - an INSERT has one
            return number

    def settle(self, number: int, record: RequestRecord) -> None:
        """Write its end; what was settled before stays."""
        with self._lock:
            self._database.execute(SETTLE, (*SETTLED_VALUES(record), number))

    def forget(self, number: int) -> None:
        with self._lock:
            self._is_synced = False
            self._database.execute("DELETE FROM requests WHERE number = ?", (number,))

    def refuse(self, record: RequestRecord) -> None:
        hour_at = record.begun_at // HOUR_S * HOUR_S
        values = (hour_at, record.key_id, record.key_name, record.route, record.status, record.error_code or "")
        with self._lock:
            self._database.execute(REFUSE, values)

    def sync(self) -> None:
        """Make what is written outlast the node, and say that the session is there."""
        self._file.sync("UPDATE session SET seen_at = ?", time.time())

    def close(self) -> None:
        self._file.close()

    def _settle_aborted(self) -> list[RequestRecord]:
        rows = self._database.execute("SELECT * FROM requests WHERE status IS NULL").fetchall()
        status, code = SESSION_KILLED
        found = []
        for number, *values in rows:
            record = replace(RequestRecord(*values), status=status, error_code=code, is_estimated=True)
            self.settle(number, record)
            found.append(record)
        return found

"""One import, from the uploaded file to its end and perhaps back, in a thread of its own: no page waits for it."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.exchange import chatgpt_format, open_webui_format, own_format
from llm_hoster.chat.exchange.archive import ArchiveError, is_archive, members
from llm_hoster.chat.exchange.arrival import Arrival, NotAConversationError
from llm_hoster.chat.exchange.entry import BrokenFileError, Entry, EntryReader, Readable
from llm_hoster.chat.exchange.placing import Placed, place
from llm_hoster.chat.exchange.remark import Ending, Remark
from llm_hoster.chat.exchange.tally import Tally
from llm_hoster.chat.message import new_id

CONVERSATIONS_MAX = 50_000
UNCHANGED = "SELECT id FROM conversations WHERE id = ? AND key_id = ? AND changed_at = ? AND erased_at IS NULL"

log = logging.getLogger(__name__)


class StopReadingError(Exception):
    """The rest of the file is not read; `ending` says why."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.name)
        self.ending = ending


class ImportRun:
    """`file` is closed at the end. `undone` is how many conversations were taken out again; None before."""

    def __init__(self, store: ConversationStore, visitor: ApiKey, file: IO[bytes], length: int) -> None:
        self.id = new_id()
        self.visitor = visitor
        self.tally = Tally()
        self.undone: int | None = None
        self._store = store
        self._file = file
        self._length = length
        # What came in, and when it was changed last: what people go on with is not taken from them.
        self._added: list[tuple[str, float]] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="import", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def share(self) -> float:
        """How much of the file was read, from 0 to 1."""
        try:
            return min(1.0, self._file.tell() / max(1, self._length))
        except ValueError:  # It is closed.
            return 1.0

    def undo(self) -> None:
        """Take out for good what came in and was not changed since; once."""
        with self._lock:
            if self.is_running or self.undone is not None:
                return
            self.undone = 0
            for conversation_id, changed_at in self._added:
                with self._store.file.lock:
                    found = self._store.file.connection.execute(
                        UNCHANGED, (conversation_id, self.visitor.id, changed_at)
                    ).fetchone()
                if found:
                    with contextlib.suppress(LookupError):
                        self._store.erase(conversation_id, self.visitor.id)
                        self.undone += 1

    def _run(self) -> None:
        try:
            with self._file:
                self._read()
        except StopReadingError as error:
            self.tally.ending = error.ending
        except ArchiveError as error:
            self.tally.ending = error.ending
        except BrokenFileError:
            is_nothing = not self.tally.placed and not self.tally.remarks
            self.tally.ending = Ending.NOTHING if is_nothing else Ending.BROKEN
        except (sqlite3.Error, OSError) as error:
            log.error("an import cannot be saved: %s", error)
            self.tally.ending = Ending.SESSION if self._store.ending.is_set() else Ending.DISK
        except Exception:  # The person is told, and what came in can be taken out.
            log.exception("an import failed")
            self.tally.ending = Ending.FAULT

    def _read(self) -> None:
        files: Iterator[Readable] = members(self._file) if is_archive(self._file) else iter([self._file])
        for file in files:
            reader = EntryReader(file)
            for entry in reader:
                if self._store.ending.is_set():
                    raise StopReadingError(Ending.SESSION)
                if self.tally.placed.total() + self.tally.remarks[Remark.UNKNOWN] >= CONVERSATIONS_MAX:
                    raise StopReadingError(Ending.TOO_MANY)
                if is_too_new(reader.head):
                    raise StopReadingError(Ending.TOO_NEW)
                self._take(entry)

    def _take(self, entry: Entry) -> None:
        try:
            arrival = arrival_of(entry)
        except NotAConversationError as error:
            self.tally.remarks[error.remark] += 1
            return
        began = time.monotonic()
        placed, conversation_id = place(self._store, arrival, self.visitor)
        self.tally.placed[placed] += 1
        if placed is Placed.DELETED:
            self.tally.remarks[Remark.DELETED] += 1
        if placed in (Placed.ADDED, Placed.CHANGED):
            self.tally.remarks += arrival.remarks
        if placed is Placed.ADDED:
            self._added.append((conversation_id, arrival.changed_at))
        # Whoever waits for the history has it for as long as we had it.
        self._store.ending.wait(time.monotonic() - began)


def arrival_of(entry: Entry) -> Arrival:
    """Read one conversation, whoever wrote it; raise NotAConversationError."""
    if entry.is_too_large:
        raise NotAConversationError(Remark.TOO_LARGE)
    value = entry.value
    if not isinstance(value, dict):
        raise NotAConversationError(Remark.UNKNOWN)
    if chatgpt_format.is_entry(value):
        arrival = chatgpt_format.read(value)
    elif open_webui_format.is_entry(value):
        arrival = open_webui_format.read(value)
    elif isinstance(value.get("messages"), list):
        arrival = own_format.read(value)
    else:
        raise NotAConversationError(Remark.UNKNOWN)
    arrival.repair()
    return arrival


def is_too_new(head: dict[str, Any]) -> bool:
    version = head.get("version")
    return head.get("format") == own_format.FORMAT and isinstance(version, int) and version > own_format.VERSION

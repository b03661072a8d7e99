"""The record of a session's requests while it serves: begun, settled, and told to whoever listens."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from llm_hoster.settings import WebSettings
from llm_hoster.usage.audit import AuditLog
from llm_hoster.usage.people import People
from llm_hoster.usage.prompt import prompt_in
from llm_hoster.usage.record import CLIENT_GONE, ENGINE_ENDED, RequestRecord
from llm_hoster.usage.store import SessionFacts, UsageStore
from llm_hoster.usage.tokens import Tokens, tokens_in

FOLDER = "usage"
Listener = Callable[[RequestRecord], None]
SYNC_S = 15.0
# A full disk is told of once in a while, and not for each request.
COMPLAINT_S = 60.0

log = logging.getLogger(__name__)


class OpenRequest:
    """A request that the engine has been asked, or is about to be."""

    def __init__(self, recorder: Recorder, record: RequestRecord, number: int | None) -> None:
        self.record = record
        self.number = number
        self._recorder = recorder
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._is_settled = False

    def settle(
        self,
        status: int,
        error_code: str | None = None,
        *,
        tokens: Tokens = Tokens(),  # noqa: B008 - it cannot be changed
        is_estimated: bool = False,
        first_byte_at: float | None = None,
    ) -> None:
        """Count it once: who comes second changes nothing. `first_byte_at` is a time of time.monotonic."""
        if not self._end():
            return
        settled = replace(
            self.record,
            status=status,
            error_code=error_code,
            prompt_tokens=tokens.prompt,
            cached_tokens=tokens.cached,
            completion_tokens=tokens.completion,
            is_estimated=is_estimated,
            duration_s=time.monotonic() - self._began,
            first_byte_s=None if first_byte_at is None else first_byte_at - self._began,
        )
        self._recorder._settle(self, settled)

    def settle_answer(self, status: int, body: bytes, error_code: str | None = None) -> None:
        """Settle what was answered whole; an error costs no tokens."""
        tokens = tokens_in(body) if status < HTTPStatus.BAD_REQUEST else None
        self.settle(status, error_code, tokens=tokens or Tokens())

    def settle_cut_off(self, *, has_died: bool) -> None:
        """Settle what nobody has told the tokens of: the engine has ended, or its client has hung up."""
        self.settle(*(ENGINE_ENDED if has_died else CLIENT_GONE), tokens=self.estimate(), is_estimated=True)

    def forget(self) -> None:
        """Another session answers it, and counts it."""
        if self._end():
            self._recorder._forget(self)

    def estimate(self, events: int = 0) -> Tokens:
        """Give what is taken for its tokens where the engine has not told them."""
        return Tokens(prompt=self.record.prompt_tokens, completion=events)

    def _end(self) -> bool:
        with self._lock:
            was_settled, self._is_settled = self._is_settled, True
        return not was_settled


class Recorder:
    """
    All methods may be called from any thread. `listeners` hear of each request that ends or is refused.

    A disk that takes no more ends no request: it is said in the log, and what is not written is lost from the record.
    """

    def __init__(self, folder: Path, facts: SessionFacts, *, keeps_prompts: bool = False) -> None:
        self.listeners: list[Listener] = []
        self.people = People()
        self._keeps_prompts = keeps_prompts
        self._store = UsageStore(folder / f"{facts.session_id}.sqlite3", facts)
        self._audit = AuditLog(folder / f"{facts.session_id}.audit.jsonl")
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._complained_at = -COMPLAINT_S
        self._ending = threading.Event()
        for record in self._store.aborted:
            self._write_line(record)
        self._keeper = threading.Thread(target=self._keep, name="usage", daemon=True)
        self._keeper.start()

    def begin(self, record: RequestRecord, question: bytes | None = None) -> OpenRequest:
        """Put it on disk as it is, with the tokens that will be taken for its own if nobody settles it."""
        if self._keeps_prompts:
            record = replace(record, prompt=prompt_in(question))
        number = None
        with self._complaining():
            number = self._store.begin(replace(record, is_estimated=True))
        with self._lock:
            self._running[record.key_name] += 1
        self.people.begin(record)
        return OpenRequest(self, record, number)

    def refuse(self, record: RequestRecord) -> None:
        """Count a request that the engine was not asked; strangers are only in the audit log."""
        if record.key_id:
            with self._complaining():
                self._store.refuse(record)
        self._tell(record)

    def note(self, record: RequestRecord) -> None:
        """Write down what was answered without the engine, as files of batches are; it costs nothing."""
        self._write_line(record)

    def running(self) -> dict[str, int]:
        """Give the requests that run, by the name of their key."""
        with self._lock:
            return dict(self._running)

    def close(self) -> None:
        self._ending.set()
        self._keeper.join()
        self._audit.close()
        self._store.close()

    def _settle(self, opened: OpenRequest, record: RequestRecord) -> None:
        self.people.end(record)
        with self._lock:
            self._running[record.key_name] -= 1
        if opened.number is not None:
            with self._complaining():
                self._store.settle(opened.number, record)
        self._tell(record)

    def _forget(self, opened: OpenRequest) -> None:
        self.people.end(opened.record)
        with self._lock:
            self._running[opened.record.key_name] -= 1
        if opened.number is not None:
            with self._complaining():
                self._store.forget(opened.number)

    def _tell(self, record: RequestRecord) -> None:
        self._write_line(record)
        for listener in self.listeners:
            listener(record)

    def _write_line(self, record: RequestRecord) -> None:
        with self._complaining():
            self._audit.write(record)

    def _keep(self) -> None:
        while not self._ending.wait(SYNC_S):
            with self._complaining():
                self._store.sync()

    @contextlib.contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            now = time.monotonic()
            if now - self._complained_at >= COMPLAINT_S:
                self._complained_at = now
                log.error("the record of requests cannot be written: %s", error)


def make_recorder(settings: WebSettings) -> Recorder:
    facts = SessionFacts(
        session_id=settings.session_id,
        model_title=settings.model_title,
        staged_root=str(settings.staged_root),
        started_at=settings.started_at,
        su_per_hour=settings.su_per_hour,
    )
    return Recorder(usage_folder(settings), facts, keeps_prompts=settings.audit_prompts)


def usage_folder(settings: WebSettings) -> Path:
    return settings.data_dir / FOLDER


def usage_path(settings: WebSettings) -> Path:
    """Name the one file that this session writes."""
    return usage_folder(settings) / f"{settings.session_id}.sqlite3"

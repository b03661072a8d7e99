"""One session's work at a batch, from taking its lease to letting it go."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from llm_hoster.batches.answer import Answer
from llm_hoster.batches.batch import Batch, LineFault, Progress, Status
from llm_hoster.batches.batch_store import BatchStore
from llm_hoster.batches.limits import LINES_MAX
from llm_hoster.batches.line import Line, LineError, parse_line, read_lines
from llm_hoster.batches.results import (
    COMPLETED,
    EXPIRED,
    FAILED,
    KINDS,
    STATES,
    UNKNOWN,
    Kind,
    answered_line,
    failed_line,
    finished_lines,
    make_parts,
    merge,
    remove_parts,
)
from llm_hoster.batches.stored_file import FileStore, StoredFile, write_fault
from llm_hoster.batches.validation import validate
from llm_hoster.engine.vllm.connection import Call
from llm_hoster.lease import Lease
from llm_hoster.regular_file import open_regular

# A line that the engine has died over so often is not asked again: the third time might end the session.
DEATHS_MAX = 2
DIED = {"code": "engine_ended", "message": "The engine has died twice while it answered this request."}
NO_INPUT = LineFault(code="file_not_found", message="The input file of this batch is not there any more.")

log = logging.getLogger(__name__)


class Shift:
    """
    Owned by the runner's thread; `take`, `put_back` and `abort` may be called from any.

    `ending` is the state that it is to end in.
    """

    def __init__(self, batch: Batch, batches: BatchStore, files: FileStore, lease: Lease) -> None:
        self.batch = batch
        self.lease = lease
        self.is_over = False
        self.ending: Status | None = None
        self._batches = batches
        self._files = files
        self._folder = batches.folder(batch)
        self._progress = batches.progress(batch)
        self._written = self._progress
        self._parts = make_parts(self._folder)
        self._states = bytearray(LINES_MAX + 1)
        self._input: BinaryIO | None = None
        self._lines: Iterator[tuple[int, bytes]] = iter(())
        self._is_read = False
        self._lock = threading.RLock()
        self._again: deque[Line] = deque()
        self._unwritten: deque[tuple[Kind, int, bytes]] = deque()
        self._calls: dict[int, tuple[Call, int]] = {}
        self._aborted: set[int] = set()
        self._suspects: set[int] = set()
        self._held_until = 0.0
        self._trouble: LineFault | None = None

    @property
    def progress(self) -> Progress:
        return self._progress

    @property
    def in_flight(self) -> int:
        return len(self._calls)

    @property
    def bytes_in_flight(self) -> int:
        with self._lock:
            return sum(length for _, length in self._calls.values())

    @property
    def has_suspects(self) -> bool:
        """Whether there is a line over which the engine may have died: it is asked alone."""
        return bool(self._suspects)

    @property
    def is_done(self) -> bool:
        """Whether every line has its answer, on the disk."""
        with self._lock:
            return self._is_read and not (self._calls or self._again or self._unwritten)

    def begin(self, served: Collection[str]) -> None:
        """Look the input over where nobody has yet, and find what is left to ask. A bad one makes `progress` final."""
        try:
            self._input = open_regular(self._files.content_path(self.batch.order.input_file_id))
        except FileNotFoundError:
            self._change(status="failed", faults=(NO_INPUT,))
            return
        if self._progress.status == "validating":
            self._validate(self._input, served if self.batch.models is None else self.batch.models)
        self._input.seek(0)
        self._states = finished_lines(self._folder, LINES_MAX)
        self._lines = read_lines(self._input)
        if not self._progress.is_final:
            self.save()

    def next_line(self) -> Line | None:
        """Give a line that nobody has asked yet; None where there is none, or no room for its answer."""
        with self._lock:
            if self.is_over or self._unwritten or time.monotonic() < self._held_until:
                return None
            if self._again:
                return self._again.popleft()
        for number, text in self._lines:
            if self._states[number] == UNKNOWN:
                return parse_line(number, text, self.batch.order.endpoint)
        self._is_read = True
        return None

    def start(self, line: Line, call: Call, length: int) -> None:
        with self._lock:
            self._calls[line.number] = (call, length)

    def hold(self, seconds: float) -> None:
        """Ask nothing for so long: its key is at a limit."""
        self._held_until = time.monotonic() + seconds

    def take(self, line: Line, answer: Answer, request_id: str) -> None:
        kind: Kind = "output" if answer.is_success else "error"
        self._keep(line, kind, answered_line(self.batch, line, answer.status, request_id, answer.body))

    def fail(self, line: Line, error: dict[str, str]) -> None:
        self._keep(line, "error", failed_line(self.batch, line, error))

    def put_back(self, line: Line, *, has_died: bool = False) -> bool:
        """Ask it again later; say whether it may have killed the engine."""
        with self._lock:
            self._calls.pop(line.number, None)
            was_aborted = line.number in self._aborted
            self._aborted.discard(line.number)
            is_suspect = has_died and not was_aborted
            if is_suspect:
                line = replace(line, deaths=line.deaths + 1)
                self._suspects.add(line.number)
            if line.deaths < DEATHS_MAX:
                self._again.append(line)
                return is_suspect
        self.fail(line, DIED)
        return is_suspect

    def abort(self) -> None:
        """End what is in flight; its lines come back."""
        with self._lock:
            self._aborted.update(self._calls)
            for call, _ in self._calls.values():
                call.abort()

    def save(self, hindrance: LineFault | None = None) -> None:
        """Write down where it stands and what keeps it from getting on, and bring the answers to the disk."""
        with self._lock:
            self._flush()
            fault = self._trouble or hindrance
            self._change(**self._counts(), faults=(fault,) if fault else ())
        if self._progress != self._written:
            for part in self._parts.values():
                part.sync()
            self._write_progress()

    def stumble(self, error: OSError) -> None:
        """Remember that something cannot be written; people read it in the batch, where that at least can be."""
        fault = write_fault(error)
        if self._trouble is None:
            log.warning("batch %s: %s", self.batch.id, fault.message)
        self._trouble = LineFault(code=fault.code, message=fault.message)
        if self._progress.is_final:
            return
        self._change(faults=(self._trouble,))
        with contextlib.suppress(OSError):
            self._write_progress()

    def finish(self, status: Status) -> None:
        """Make the files of answers and say so. Raise OSError where these cannot be written; it may be repeated."""
        self.end(status)
        if status == "completed" and self._progress.finalizing_at is None:
            self._change(status="finalizing", finalizing_at=_now())
            self._write_progress()
        self._states = finished_lines(self._folder, LINES_MAX)
        if status == "expired":
            self._fail_unasked()
        file_ids = {f"{kind}_file_id": self._publish(kind) for kind in KINDS}
        faults = self._progress.faults if status == "failed" else ()
        self._change(status=status, **{f"{status}_at": _now()}, **self._counts(), **file_ids, faults=faults)
        self._write_progress()
        remove_parts(self._folder)
        self.let_go()

    def end(self, status: Status) -> None:
        """Ask nothing any more, and drop what is in flight."""
        with self._lock:
            self.ending = status
            self.is_over = True
            self.abort()

    def let_go(self) -> None:
        """Leave the rest to another session."""
        with self._lock:
            self.is_over = True
            self.abort()
        with contextlib.suppress(OSError):
            for part in self._parts.values():
                part.sync()
        for part in self._parts.values():
            part.close()
        if self._input is not None:
            self._input.close()
        self.lease.release()

    def _validate(self, file: BinaryIO, served: Collection[str]) -> None:
        found = validate(file, self.batch.order.endpoint, served)
        if found.faults:
            self._change(status="failed", total=found.total, faults=found.faults)
        else:
            self._change(status="in_progress", in_progress_at=_now(), total=found.total, model=found.model)

    def _keep(self, line: Line, kind: Kind, text: bytes) -> None:
        with self._lock:
            self._calls.pop(line.number, None)
            self._aborted.discard(line.number)
            self._suspects.discard(line.number)
            if self.is_over:
                return
            self._unwritten.append((kind, line.number, text))
            self._flush()

    def _flush(self) -> None:
        """Write what has come; while the disk is full it stays in memory, and nothing new is asked."""
        while self._unwritten:
            kind, number, text = self._unwritten[0]
            try:
                self._parts[kind].append(text)
            except OSError as error:
                self.stumble(error)
                return
            self._unwritten.popleft()
            self._states[number] = STATES[kind]
            self._trouble = None

    def _fail_unasked(self) -> None:
        """Those of a batch that nobody has looked over are not told, nor those of a file that is not there any more."""
        if self._progress.status == "validating":
            return
        path = self._files.content_path(self.batch.order.input_file_id)
        with contextlib.suppress(LineError, FileNotFoundError), open_regular(path) as file:
            for number, text in read_lines(file):
                if self._states[number] == UNKNOWN:
                    line = parse_line(number, text, self.batch.order.endpoint)
                    self._parts["error"].append(failed_line(self.batch, line, EXPIRED))
                    self._states[number] = FAILED

    def _publish(self, kind: Kind) -> str | None:
        """Make the file of all answers of a kind. Its id follows from the batch's, so that there is only ever one."""
        file_id = f"file-{self.batch.hex}-{kind}"
        now = time.time()
        with self._files.new_content() as content:
            if not merge(self._folder, kind, self._states, content):
                return None
            file = StoredFile(
                id=file_id,
                filename=f"{self.batch.id}_{kind}.jsonl",
                purpose="batch_output",
                bytes=content.tell(),
                created_at=now,
                expires_at=int(now) + self.batch.output_kept_s,
                caller=self.batch.caller,
            )
            self._files.add(content, file)
        return file_id

    def _counts(self) -> dict[str, int]:
        return {"completed": self._states.count(COMPLETED), "failed": self._states.count(FAILED)}

    def _change(self, **values: Any) -> None:
        self._progress = self._progress.model_copy(update=values)

    def _write_progress(self) -> None:
        self._batches.write_progress(self.batch, self._progress)
        self._written = self._progress


def _now() -> int:
    return int(time.time())

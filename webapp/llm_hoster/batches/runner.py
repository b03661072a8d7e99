"""
The work at batches: one thread that looks about once a second, and one for each line that is being asked.

A session works at the batches whose model it serves and at which no living session works. What it does not serve, or
leaves behind at its end, another one takes over.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from http import HTTPStatus

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.batches import receipt
from llm_hoster.batches.answer import EngineBusyError, EngineEndedError, ask, refused
from llm_hoster.batches.batch import Batch, LineFault, Status
from llm_hoster.batches.batch_store import BatchStore
from llm_hoster.batches.limits import FOLDER_BYTES_MAX, HOUR_S
from llm_hoster.batches.line import Line
from llm_hoster.batches.pace import Pace
from llm_hoster.batches.shift import Shift
from llm_hoster.batches.stored_file import FileStore
from llm_hoster.engine.record.state import COMING, SERVING
from llm_hoster.engine.vllm.connection import EngineCall
from llm_hoster.engine.vllm.request import get
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.gate import Gate
from llm_hoster.gateway.question import require_allowed
from llm_hoster.gateway.request_id import new_request_id
from llm_hoster.lease import Lease, is_held
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import engine_state
from llm_hoster.status.gauges import EngineGauges
from llm_hoster.usage.recorder import Recorder

LOOK_S = 1.0
# How often other sessions' batches are looked for.
LOOK_AROUND_S = 5.0
# The folder is measured rarely: that is a question to the file system for each file.
MEASURE_S = 60.0
# As many batches at a time, in turn line by line: nobody waits for the end of somebody else's large one.
SHIFTS_MAX = 4
BYTES_IN_FLIGHT_MAX = 64 * 2**20
TIMEOUT_S = 5.0
# Ends in which the engine is taken away on purpose say nothing about the lines that it was asked.
ON_PURPOSE = ("switching", "stopping", "stopped")
FAULT = {"code": "fault", "message": "Something went wrong here; web.log of the session says what."}
FOLDER_FULL = LineFault(
    code="storage_full",
    message=f"The files of batches take more than {FOLDER_BYTES_MAX // 2**30} GiB. Delete files that you do not need;"
    " this batch goes on by itself then.",
)

log = logging.getLogger(__name__)


class Runner:
    """What has no underscore may be called from any thread."""

    def __init__(
        self,
        settings: WebSettings,
        batches: BatchStore,
        files: FileStore,
        gate: Gate,
        recorder: Recorder,
        read_engine: Callable[[], EngineGauges | None],
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._recorder = recorder
        self._batches = batches
        self._files = files
        self._read_engine = read_engine
        self._pace = Pace()
        self._shifts: deque[Shift] = deque()
        self._leases: dict[str, Lease] = {}
        self._models: frozenset[str] = frozenset()
        self._is_serving = self._may_ask = False
        self._since = 0.0
        self._is_full = False
        self._are_any_unfinished = False
        self._look_at = self._look_around_at = self._measure_at = self._tidy_at = 0.0
        self._is_called = False
        self._changed = threading.Event()
        self._is_stopped = False
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin the work, where it has not begun."""
        with self._start_lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Look at once whether there is something to do."""
        self._is_called = True
        self._changed.set()
        self.start()

    def cancel(self, batch: Batch) -> None:
        """Ask for its end, whichever session works at it."""
        self._batches.ask_to_cancel(batch)
        self.wake()

    def stop(self) -> None:
        """Let go of everything, and end."""
        self._is_stopped = True
        self._changed.set()
        if self._thread is not None:
            self._thread.join()

    def models_for(self, caller: str) -> tuple[str, ...] | None:
        """Name what this key may ask for here; None while the engine does not answer."""
        served = self._read_models()
        return None if served is None else self._allowed_of(served, caller)

    def why_it_waits(self, batch: Batch) -> LineFault | None:
        """Say what an unfinished batch needs where no session works at it."""
        if self._gate.ring.find_id(batch.caller) is None:
            message = "The key of this batch was revoked or has ended. What was answered can be had by cancelling it."
            return LineFault(code="key_ended", message=message)
        model = self._batches.progress(batch).model
        if model is None or not self._models or self._can_work_at(batch) or is_held(self._batches.lease(batch).path):
            return None
        message = f"This batch waits for a session that serves {model[:200]!r}, and goes on by itself then."
        return LineFault(code="model_not_served", message=message)

    def _read_models(self) -> tuple[str, ...] | None:
        try:
            status, text = get(self._settings.socket_path, "/v1/models", TIMEOUT_S)
            return tuple(model["id"] for model in json.loads(text)["data"]) if status == HTTPStatus.OK else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _allowed_of(self, models: Collection[str], caller: str) -> tuple[str, ...]:
        key = self._gate.ring.find_id(caller)
        return () if key is None else tuple(model for model in models if not key.models or model in key.models)

    def _run(self) -> None:
        while not self._is_stopped:
            self._changed.clear()
            try:
                self._look_if_due()
                self._fill()
                self._end_done()
            except Exception:  # The next look may find the disk, or whatever it was, as it should be.
                log.exception("the work at batches was disturbed")
            self._changed.wait(max(0.0, self._look_at - time.monotonic()))
        for shift in self._shifts:
            shift.let_go()

    def _look_if_due(self) -> None:
        now = time.monotonic()
        if self._is_called:
            self._look_at = self._look_around_at = now
            self._is_called = False
        if now >= self._look_at:
            self._look_at = now + (LOOK_S if self._are_any_unfinished else LOOK_AROUND_S)
            self._look()

    def _look(self) -> None:
        state = engine_state(self._settings)
        self._is_serving = state.state in SERVING and state.successor is None
        self._may_ask = self._is_serving and state.state == "ready"  # One that may be stuck is left alone.
        if state.since != self._since:
            self._since = state.since
            self._look_around_at = 0.0  # It may be another model.
        if state.successor is not None or state.state not in SERVING + COMING:
            self._let_go(list(self._shifts))
            return
        if not self._is_serving:
            for shift in self._shifts:
                shift.abort()  # Nobody waits for our lines when the model is changed.
        elif self._shifts:
            self._pace.look(self._read_engine(), self._in_flight())
        for shift in list(self._shifts):
            self._look_after(shift)
        if time.monotonic() >= self._look_around_at:
            self._look_around_at = time.monotonic() + LOOK_AROUND_S
            self._look_around()

    def _look_after(self, shift: Shift) -> None:
        if shift.lease.lost.is_set():
            self._let_go([shift])
        elif (end := shift.ending or self._end_of(shift.batch)) is not None:
            self._finish(shift, end)
        else:
            try:
                shift.save(FOLDER_FULL if self._is_full else None)
            except OSError as error:  # At the next look there may be room, here and below.
                shift.stumble(error)

    def _look_around(self) -> None:
        """Find what other sessions have left."""
        waiting = self._batches.unfinished()
        self._are_any_unfinished = bool(waiting)
        self._leases = {batch.id: self._leases[batch.id] for batch in waiting if batch.id in self._leases}
        self._look_after_folder(waiting)
        if self._is_serving and waiting:
            self._models = frozenset(self._read_models() or ())
            self._let_go([each for each in self._shifts if not (each.ending or self._can_work_at(each.batch))])
        at_work = {shift.batch.id for shift in self._shifts}
        others = [batch for batch in waiting if batch.id not in at_work]
        for batch in sorted(others, key=lambda batch: (self._shifts_of(batch.caller), batch.created_at)):
            if self._may_begin(batch) and self._begin(batch):
                self.wake()  # One by one: whose turn is next depends on whose it was.
                return

    def _look_after_folder(self, waiting: list[Batch]) -> None:
        now = time.monotonic()
        if now >= self._tidy_at:
            self._tidy_at = now + HOUR_S
            self._files.tidy({batch.order.input_file_id for batch in waiting})
            self._batches.tidy()
        if waiting and now >= self._measure_at:
            self._measure_at = now + MEASURE_S
            self._is_full = self._files.used_bytes() > FOLDER_BYTES_MAX

    def _may_begin(self, batch: Batch) -> bool:
        if self._end_of(batch) is not None:
            return True  # That takes no engine.
        return self._is_serving and len(self._shifts) < SHIFTS_MAX and self._can_work_at(batch)

    def _end_of(self, batch: Batch) -> Status | None:
        """Name the state in which it is to end now."""
        if self._batches.cancelling_at(batch) is not None:
            return "cancelled"
        return "expired" if batch.expires_at <= time.time() else None

    def _can_work_at(self, batch: Batch) -> bool:
        if self._gate.ring.find_id(batch.caller) is None:
            return False
        model = self._batches.progress(batch).model
        return bool(self._models) and (model is None or model in self._allowed_of(self._models, batch.caller))

    def _begin(self, batch: Batch) -> bool:
        lease = self._leases.setdefault(batch.id, self._batches.lease(batch))
        if not lease.take_if_free():
            return False
        del self._leases[batch.id]
        shift = Shift(batch, self._batches, self._files, lease)
        if shift.progress.is_final:  # Another session has just ended it.
            shift.let_go()
            return False
        end = self._end_of(batch)
        try:
            if end is None:
                shift.begin(self._allowed_of(self._models, batch.caller))
        except BaseException:
            shift.let_go()
            raise
        if end is not None or shift.progress.is_final:
            shift.end(end or shift.progress.status)
        self._shifts.append(shift)
        return True

    def _fill(self) -> None:
        """Ask as many lines as the pace allows, one of each batch in turn."""
        if not self._may_ask or self._is_full or self._pace.is_held:
            return
        while self._in_flight() < self._allowed() and self._bytes_in_flight() < BYTES_IN_FLIGHT_MAX:
            if self._is_called or time.monotonic() >= self._look_at:
                return  # Lines that are refused at once must not keep us from hearing that the batch is cancelled.
            for _ in range(len(self._shifts)):
                shift = self._shifts[0]
                self._shifts.rotate(-1)
                line = shift.next_line()
                if line is not None:
                    self._start_or_put_back(shift, line)
                    break
            else:
                return

    def _start_or_put_back(self, shift: Shift, line: Line) -> None:
        """Whatever happens, no line is forgotten."""
        try:
            self._start(shift, line)
        except BaseException:
            shift.put_back(line)
            raise

    def _start(self, shift: Shift, line: Line) -> None:
        key = self._gate.ring.find_id(shift.batch.caller)
        if key is None:
            shift.put_back(line)
            shift.hold(LOOK_S)  # Then it is let go.
            return
        try:
            require_allowed(line.body, self._settings.media_hosts)
            self._gate.admission.count(key)
        except HTTPError as error:
            if error.retry_after_s is None:
                shift.take(line, refused(error), new_request_id())
            else:
                shift.put_back(line)
                shift.hold(error.retry_after_s)
            return
        call = EngineCall(self._settings.socket_path)
        body = line.body_for_engine()
        shift.start(line, call, len(body))
        threading.Thread(target=self._ask, args=(shift, line, call, body, key), name="batch-line", daemon=True).start()

    def _ask(self, shift: Shift, line: Line, call: EngineCall, body: bytes, key: ApiKey) -> None:
        request_id, endpoint = new_request_id(), shift.batch.order.endpoint
        opened = receipt.begin(self._recorder, key, request_id, line.model, endpoint, body)
        try:
            answer = ask(call, endpoint, body, request_id)
            if answer.status == HTTPStatus.NOT_FOUND and line.model not in (self._read_models() or ()):
                raise EngineBusyError  # The model has been changed a moment ago.
        except EngineBusyError as error:
            opened.forget()
            shift.put_back(line)
            self._pace.hold(error.retry_after_s)
        except EngineEndedError:
            is_on_purpose = engine_state(self._settings).state in ON_PURPOSE
            has_died = shift.put_back(line, has_died=not is_on_purpose)
            opened.settle_cut_off(has_died=has_died)
            if has_died:
                self._pace.start_again()
        except Exception:
            log.exception("line %d of batch %s failed", line.number, shift.batch.id)
            opened.forget()
            shift.fail(line, FAULT)
        else:
            opened.settle_answer(answer.status, answer.body)
            shift.take(line, answer, request_id)
        self._changed.set()

    def _end_done(self) -> None:
        for shift in list(self._shifts):
            if shift.is_done and not shift.is_over:
                self._finish(shift, "completed")

    def _finish(self, shift: Shift, status: Status) -> None:
        try:
            shift.finish(status)
        except OSError as error:
            shift.stumble(error)
            return
        self._shifts.remove(shift)
        self.wake()

    def _let_go(self, shifts: list[Shift]) -> None:
        for shift in shifts:
            self._shifts.remove(shift)
            shift.let_go()

    def _allowed(self) -> int:
        return 1 if any(shift.has_suspects for shift in self._shifts) else self._pace.allowed

    def _in_flight(self) -> int:
        return sum(shift.in_flight for shift in self._shifts)

    def _bytes_in_flight(self) -> int:
        return sum(shift.bytes_in_flight for shift in self._shifts)

    def _shifts_of(self, caller: str) -> int:
        return sum(shift.batch.caller == caller for shift in self._shifts)

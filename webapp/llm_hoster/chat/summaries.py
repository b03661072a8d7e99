"""The summaries being written in this session: each by a thread of its own, which goes on when the page is closed."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from urllib3.exceptions import HTTPError as UpstreamError

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.chat import failure
from llm_hoster.chat.delta import parse_stream
from llm_hoster.chat.message import Message
from llm_hoster.chat.receipt import Receipt
from llm_hoster.chat.reply import Reply
from llm_hoster.chat.summary import PIECE_MIN_CHARACTERS, next_piece, without_thoughts
from llm_hoster.engine.vllm.connection import Call
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.admission import Place
from llm_hoster.gateway.successor import open_call
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import engine_state, not_ready
from llm_hoster.usage.recorder import Recorder

SILENCE_TIMEOUT_S = 120.0
CHUNK_BYTES = 65536
EMPTY = "The model wrote no summary. Try it again, or leave out the oldest messages."
TOO_SMALL = "The model can read too little at once to write a summary. Leave out the oldest messages instead."
NOT_SAVED = "The summary could not be saved ({error}). Try it again."

log = logging.getLogger(__name__)
State = Literal["running", "done", "stopped", "failed"]


class RefusedError(Exception):
    """The engine does not do it; the sentence says why. `is_too_long`: a shorter piece may be taken."""

    def __init__(self, sentence: str, *, is_too_long: bool = False) -> None:
        super().__init__(sentence)
        self.is_too_long = is_too_long


@dataclass(frozen=True)
class Task:
    """
    `text` is summarised in pieces of at most `piece` characters, by a model that reads `limit` tokens.

    `keep` puts the summary where it belongs, and gives the id of the conversation that has it then.
    """

    conversation_id: str
    text: str
    piece: int
    limit: int
    keep: Callable[[str], str]


@dataclass
class Summary:
    """One that is being written, or was. Written by its thread alone, but for `state` when it is stopped."""

    task: Task
    visitor: ApiKey
    state: State = "running"
    text: str = ""
    # The share of the conversation that was read, from 0 to 1.
    share: float = 0.0
    failure: str = ""
    # Where it is kept.
    kept_in: str = ""
    call: Call | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def is_running(self) -> bool:
        return self.state == "running"


class Summaries:
    """All methods may be called from any thread."""

    def __init__(self, settings: WebSettings, recorder: Recorder) -> None:
        self._settings = settings
        self._recorder = recorder
        self._lock = threading.Lock()
        self._by_chat: dict[tuple[str, str], Summary] = {}

    def find(self, conversation_id: str, key_id: str) -> Summary | None:
        return self._by_chat.get((key_id, conversation_id))

    def forget(self, summary: Summary) -> None:
        """Of one that has ended and was told."""
        with self._lock:
            key = (summary.visitor.id, summary.task.conversation_id)
            if not summary.is_running and self._by_chat.get(key) is summary:
                del self._by_chat[key]

    def start(self, task: Task, visitor: ApiKey, place: Place | None) -> Summary:
        """Begin; `place` is given back at the end. Raise HTTPError where one is being written already."""
        summary = Summary(task, visitor)
        with self._lock:
            former = self._by_chat.get((visitor.id, task.conversation_id))
            is_busy = former is not None and former.is_running
            if not is_busy:
                self._by_chat[visitor.id, task.conversation_id] = summary
        if is_busy:
            if place is not None:
                place.release()
            raise HTTPError(409, "A summary is being written here already.", code="busy")
        threading.Thread(target=self._run, args=(summary, place), name="summary", daemon=True).start()
        return summary

    def stop(self, summary: Summary) -> None:
        """End it; what was written of it is thrown away, and the conversation stays as it is."""
        if summary.is_running:
            summary.state = "stopped"
            call = summary.call
            if call is not None:
                call.abort()

    def _run(self, summary: Summary, place: Place | None) -> None:
        try:
            text = self._write(summary, place)
            if summary.is_running:
                summary.kept_in = summary.task.keep(text)
                summary.state = "done"
        except RefusedError as error:
            self._fail(summary, str(error))
        except (UpstreamError, OSError):
            self._fail(summary, not_ready(engine_state(self._settings)).message)
        except (sqlite3.Error, LookupError) as error:
            self._fail(summary, NOT_SAVED.format(error=error))
        except Exception as error:  # The reader must be told, whatever it was.
            log.exception("a summary failed")
            self._fail(summary, f"Something went wrong here ({type(error).__name__}); web.log says what.")
        finally:
            if place is not None:
                place.release()
            summary.ended.set()

    def _fail(self, summary: Summary, sentence: str) -> None:
        if summary.is_running:
            summary.failure, summary.state = sentence, "failed"

    def _write(self, summary: Summary, place: Place | None) -> str:
        task = summary.task
        rest, length, text = task.text, task.piece, ""
        while rest and summary.is_running:
            piece = next_piece(rest, length, text, task.limit)
            try:
                written = self._ask(summary, piece.body, place)
            except RefusedError as error:
                if not error.is_too_long:
                    raise
                length //= 2
                if length < PIECE_MIN_CHARACTERS // 2:
                    raise RefusedError(TOO_SMALL) from error
                continue
            if summary.is_running and not written:
                raise RefusedError(EMPTY)
            text, rest = written, piece.rest
            summary.share = 1 - len(rest) / len(task.text)
        return text

    def _ask(self, summary: Summary, question: dict[str, object], place: Place | None) -> str:
        """Have one piece summarised, and record it as any question of that person."""
        state = engine_state(self._settings)
        body = {"model": state.model.name} | question
        if place is not None and place.priority != 0:
            body["priority"] = place.priority
        message = Message(summary.task.conversation_id, "assistant", state="running", model=state.model.name)
        reply, data = Reply(message, summary.visitor.id), json.dumps(body).encode()
        receipt = Receipt(self._recorder, reply, summary.visitor, data, is_ours=state.successor is None)
        call = summary.call = open_call(self._settings, state, silence_timeout_s=SILENCE_TIMEOUT_S)
        try:
            if summary.is_running:
                self._read(summary, reply, receipt, call, data)
        except (UpstreamError, OSError):
            if summary.is_running:
                reply.finish("failed")
                raise
        finally:
            reply.finish("done" if summary.is_running else "stopped")
            call.close()
            receipt.settle()
        return without_thoughts(message.content)

    def _read(self, summary: Summary, reply: Reply, receipt: Receipt, call: Call, data: bytes) -> None:
        call.send("POST", "/v1/chat/completions", body=data, headers={"Content-Type": "application/json"})
        answer = call.response()
        assert answer is not None  # noqa: S101 - only a watched client makes it None
        if answer.status != 200:
            receipt.status = answer.status
            sentence = failure.sentence_of(answer.status, answer.read())
            raise RefusedError(sentence, is_too_long=sentence.startswith(failure.CONTEXT_FULL))
        for delta in parse_stream(answer.stream(CHUNK_BYTES)):
            if delta.is_end or not summary.is_running:
                return
            if delta.error is not None:
                reply.finish("failed")
                raise RefusedError(failure.sentence_of_message(delta.error))
            reply.add(delta)
            summary.text = without_thoughts(reply.message.content)
        if summary.is_running:
            reply.finish("failed")
            raise RefusedError(failure.ENDED)

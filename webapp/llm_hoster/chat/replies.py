"""The replies being written in this session: started here, saved as they grow, stopped on request."""

from __future__ import annotations

import itertools
import json
import logging
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from urllib3.exceptions import HTTPError as UpstreamError
from urllib3.exceptions import ReadTimeoutError

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.chat import failure
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.conversation_settings import ConversationSettings
from llm_hoster.chat.cut import Cuts
from llm_hoster.chat.delta import parse_stream
from llm_hoster.chat.engine_request import engine_request
from llm_hoster.chat.message import Message
from llm_hoster.chat.question_content import content_reader, documents_for
from llm_hoster.chat.receipt import Receipt
from llm_hoster.chat.reply import Reply
from llm_hoster.chat.titles import Titles
from llm_hoster.chat.turn import Turn
from llm_hoster.engine.vllm.connection import Call
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.admission import Place
from llm_hoster.gateway.routes import ABORTED
from llm_hoster.gateway.successor import open_call
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import engine_state, not_ready
from llm_hoster.usage.recorder import Recorder

SILENCE_TIMEOUT_S = 600.0
KEPT_FINISHED = 50  # A reader that reconnects finds its events; older replies are read from disk.
CHUNK_BYTES = 65536

log = logging.getLogger(__name__)


class Replies:
    """All methods may be called from any thread."""

    def __init__(self, settings: WebSettings, store: ConversationStore, recorder: Recorder) -> None:
        self._settings = settings
        self._store = store
        self._recorder = recorder
        self._lock = threading.Lock()
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        self._calls: dict[str, Call] = {}
        self.titles = Titles(settings, store, recorder)

    def start(self, turn: Turn, visitor: ApiKey, *places: Place | None) -> Reply:
        """
        Ask the model that each of the turn's replies names, or else the base model; give the first reply.

        The engine begins before the turn is written. `places`, one for each reply, are given back at its end. Raises
        HTTPError when the conversation has a running reply or is another person's, or the disk takes no more, and
        AttachmentError for a file that the model cannot be given.
        """
        try:
            return self._start(turn, visitor, places)[0]
        except BaseException:
            for place in places:
                if place is not None:
                    place.release()
            raise

    def _start(self, turn: Turn, visitor: ApiKey, places: Sequence[Place | None]) -> list[Reply]:
        state = engine_state(self._settings)
        for message in turn.replies:
            message.model = message.model or state.model.name
        # Before anything is begun: a file may be lost, or be one that this model cannot read.
        settings = self._store.settings_of(turn.reply.conversation_id, visitor.id)
        read = replace(turn, earlier=Cuts.from_json(settings).read_part(turn.earlier))
        documents = documents_for(self._settings, state, visitor.id, read)
        for message in turn.replies:
            message.sources = documents.sources if documents else []
        content_of = content_reader(self._settings, state, visitor.id, read, documents)
        request = engine_request(read, ConversationSettings.from_json(settings), content_of)
        replies = [Reply(message, visitor.id, self._store.write_shown) for message in turn.replies]
        with self._lock:
            if self._running_in(turn.reply.conversation_id, visitor.id):
                raise HTTPError(
                    409, "A reply is still being written in this chat. Wait for its end, or stop it first.", code="busy"
                )
            for reply in replies:
                self._replies[reply.id] = reply
                self._calls[reply.id] = open_call(self._settings, state, silence_timeout_s=SILENCE_TIMEOUT_S)
            self._forget_old()
        self.titles.postpone(turn.reply.conversation_id)
        written = threading.Event()
        for reply, place in itertools.zip_longest(replies, places):
            body = {"model": reply.message.model} | request
            if place is not None and place.priority != 0:
                body["priority"] = place.priority
            question_bytes = json.dumps(body).encode()
            receipt = Receipt(self._recorder, reply, visitor, question_bytes, is_ours=state.successor is None)
            arguments = (reply, turn, visitor, receipt, question_bytes, written, place)
            threading.Thread(target=self._generate, args=arguments, name=f"reply-{reply.id[:8]}", daemon=True).start()
        try:
            turn.write(self._store, visitor.id)
        except (sqlite3.Error, LookupError) as error:
            for reply in replies:
                self.stop(reply.id, visitor.id)
            written.set()
            if isinstance(error, LookupError):
                raise HTTPError(404, "There is no such conversation in this session.", code="not_found") from error
            raise HTTPError(507, f"The message could not be saved ({error}).", code="not_saved") from error
        written.set()
        return replies

    def find(self, reply_id: str, key_id: str) -> Reply | None:
        reply = self._replies.get(reply_id)
        return reply if reply is not None and reply.key_id == key_id else None

    def as_it_is(self, message: Message, key_id: str) -> Message:
        """Take a message that was running when it was read from the history from here, where more of it is."""
        reply = self.find(message.id, key_id) if message.state == "running" else None
        return message if reply is None else reply.message

    def running_in(self, conversation_id: str, key_id: str) -> list[Reply]:
        """Give those that are being written in a conversation, on whichever of its branches."""
        with self._lock:
            return self._running_in(conversation_id, key_id)

    def stop_all(self, conversation_id: str, key_id: str) -> None:
        for reply in self.running_in(conversation_id, key_id):
            self.stop(reply.id, key_id)

    def stop(self, reply_id: str, key_id: str) -> None:
        """End somebody's reply; vLLM stops generating at once, and what came so far is kept."""
        reply = self.find(reply_id, key_id)
        if reply is None:
            return
        reply.finish("stopped")
        call = self._calls.get(reply_id)
        if call is not None:
            call.abort()

    def _generate(
        self,
        reply: Reply,
        turn: Turn,
        visitor: ApiKey,
        receipt: Receipt,
        body: bytes,
        written: threading.Event,
        place: Place | None,
    ) -> None:
        call = self._calls[reply.id]
        try:
            self._read_engine(reply, receipt, call, body)
        except ReadTimeoutError:  # And not its parent: urllib3 counts a socket that refuses among the time-outs.
            reply.finish("failed", failure.SILENT)
        except (UpstreamError, OSError):
            reply.finish("failed", self._why_engine_is_gone(reply))
        except Exception as error:  # The reader must be told, whatever it was.
            log.exception("reply %s failed", reply.id)
            reply.finish("failed", f"Something went wrong here ({type(error).__name__}); web.log says what.")
        finally:
            call.close()
            receipt.settle()
            if place is not None:
                place.release()
            with self._lock:
                self._calls.pop(reply.id, None)
        written.wait()
        self._store.save_message(reply.message)
        # Of two replies the first is what the title is about.
        title = self.titles.expect(turn, visitor) if reply.message is turn.reply else None
        reply.tell_end()
        if title is not None:
            self.titles.make(title, turn, visitor)

    def _read_engine(self, reply: Reply, receipt: Receipt, call: Call, body: bytes) -> None:
        call.send("POST", "/v1/chat/completions", body=body, headers={"Content-Type": "application/json"})
        answer = call.response()
        assert answer is not None  # noqa: S101 - only a watched client makes it None
        if answer.status != 200:
            receipt.status = answer.status
            reply.finish("failed", failure.sentence_of(answer.status, answer.read()))
            return
        for delta in parse_stream(answer.stream(CHUNK_BYTES)):
            if not reply.is_running:
                return
            if delta.error is not None:
                reply.finish("failed", failure.sentence_of_message(delta.error))
            elif delta.is_end and reply.message.finish_reason != ABORTED:
                reply.finish("done")
            elif delta.is_end:
                reply.finish("failed", failure.ENDED)
            else:
                reply.add(delta)
        reply.finish("failed", failure.ENDED)

    def _why_engine_is_gone(self, reply: Reply) -> str:
        if reply.message.first_token_s is not None:
            return failure.ENDED
        return not_ready(engine_state(self._settings)).message

    def _running_in(self, conversation_id: str, key_id: str) -> list[Reply]:
        mine = (reply for reply in self._replies.values() if reply.key_id == key_id and reply.is_running)
        return [reply for reply in mine if reply.message.conversation_id == conversation_id]

    def _forget_old(self) -> None:
        finished = [reply.id for reply in self._replies.values() if not reply.is_running]
        for reply_id in finished[:-KEPT_FINISHED]:
            del self._replies[reply_id]

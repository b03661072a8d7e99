"""The replies being written in this session: started here, saved as they grow, stopped on request."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections import OrderedDict

from urllib3.exceptions import HTTPError as UpstreamError
from urllib3.exceptions import ReadTimeoutError

from llm_hoster.chat import failure
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.delta import parse_stream
from llm_hoster.chat.message import Message, messages_for_engine
from llm_hoster.chat.reply import Reply
from llm_hoster.engine.vllm.connection import Call
from llm_hoster.errors import HTTPError
from llm_hoster.gateway.forward import ABORTED
from llm_hoster.gateway.successor import open_call
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import engine_state, not_ready

SAVE_INTERVAL_S = 0.5
SILENCE_TIMEOUT_S = 600.0
KEPT_FINISHED = 50  # A reader that reconnects finds its events; older replies are read from disk.
CHUNK_BYTES = 65536

log = logging.getLogger(__name__)


class Replies:
    """All methods may be called from any thread."""

    def __init__(self, settings: WebSettings, store: ConversationStore) -> None:
        self._settings = settings
        self._store = store
        self._lock = threading.Lock()
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        self._calls: dict[str, Call] = {}

    def start(self, conversation_id: str, text: str) -> tuple[Message, Reply]:
        """
        Ask the model. The engine begins before the question is on disk: writing that takes as long as the first token.

        Raises HTTPError when the conversation has a running reply, or the disk takes no more.
        """
        question = Message(conversation_id, "user", text)
        state = engine_state(self._settings)
        model = state.model.name
        reply = Reply(Message(conversation_id, "assistant", state="running", model=model))
        earlier = self._store.messages(conversation_id)
        with self._lock:
            if self._running_in(conversation_id) is not None:
                raise HTTPError(
                    409, "A reply is still being written here. Wait for its end, or stop it first.", code="busy"
                )
            self._replies[reply.id] = reply
            self._calls[reply.id] = open_call(self._settings, state, silence_timeout_s=SILENCE_TIMEOUT_S)
            self._forget_old()
        body = {
            "model": model,
            "messages": messages_for_engine([*earlier, question]),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        written = threading.Event()
        arguments = (reply, json.dumps(body).encode(), written)
        threading.Thread(target=self._generate, args=arguments, name=f"reply-{reply.id[:8]}", daemon=True).start()
        try:
            self._store.add_turn(question, reply.message)
        except sqlite3.Error as error:
            self.stop(reply.id)
            written.set()
            raise HTTPError(507, f"The message could not be saved ({error}).", code="not_saved") from error
        written.set()
        threading.Thread(target=self._save_while_running, args=(reply,), daemon=True).start()
        return question, reply

    def find(self, reply_id: str) -> Reply | None:
        return self._replies.get(reply_id)

    def stop(self, reply_id: str) -> None:
        """End a reply; vLLM stops generating at once, and what came so far is kept."""
        reply = self._replies.get(reply_id)
        if reply is None:
            return
        reply.finish("stopped")
        call = self._calls.get(reply_id)
        if call is not None:
            call.abort()

    def _generate(self, reply: Reply, body: bytes, written: threading.Event) -> None:
        call = self._calls[reply.id]
        try:
            self._read_engine(reply, call, body)
        except ReadTimeoutError:  # And not its parent: urllib3 counts a socket that refuses among the time-outs.
            reply.finish("failed", failure.SILENT)
        except (UpstreamError, OSError):
            reply.finish("failed", self._why_engine_is_gone(reply))
        except Exception as error:  # The reader must be told, whatever it was.
            log.exception("reply %s failed", reply.id)
            reply.finish("failed", f"Something went wrong here ({type(error).__name__}); web.log says what.")
        finally:
            call.close()
            with self._lock:
                self._calls.pop(reply.id, None)
        written.wait()
        self._save(reply)
        reply.tell_end()

    def _read_engine(self, reply: Reply, call: Call, body: bytes) -> None:
        call.send("POST", "/v1/chat/completions", body=body, headers={"Content-Type": "application/json"})
        answer = call.response()
        assert answer is not None  # noqa: S101 - only a watched client makes it None
        if answer.status != 200:
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

    def _save_while_running(self, reply: Reply) -> None:
        """A thread of its own: a slow disk must delay no token, and a token's pause must delay no writing."""
        pause = threading.Event()
        while reply.is_running:
            pause.wait(SAVE_INTERVAL_S)
            if reply.is_running and reply.take_unsaved():
                self._save(reply)

    def _save(self, reply: Reply) -> None:
        try:
            self._store.save_message(reply.message)
        except sqlite3.Error:
            log.exception("reply %s could not be saved", reply.id)

    def _running_in(self, conversation_id: str) -> Reply | None:
        for reply in self._replies.values():
            if reply.message.conversation_id == conversation_id and reply.is_running:
                return reply
        return None

    def _forget_old(self) -> None:
        finished = [reply.id for reply in self._replies.values() if not reply.is_running]
        for reply_id in finished[:-KEPT_FINISHED]:
            del self._replies[reply_id]

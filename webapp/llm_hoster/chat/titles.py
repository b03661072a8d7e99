"""
Titles made by the model: after the first reply of a conversation it is asked for a few words about it.

It is asked as the least urgent of all, and given up when the person asks the next question in that conversation.
Until then, and where nothing comes of it, the first line of the conversation is its title.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from urllib3.exceptions import HTTPError as UpstreamError

from llm_hoster.api_keys.api_key import PRIORITY_STEP, ApiKey
from llm_hoster.chat.conversation import ConversationStore
from llm_hoster.chat.message import Message, new_id, title_of
from llm_hoster.chat.turn import Turn
from llm_hoster.engine.vllm.connection import Call
from llm_hoster.gateway.successor import open_call
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import engine_state
from llm_hoster.usage.record import CHAT_ROUTE, RequestRecord
from llm_hoster.usage.recorder import Recorder
from llm_hoster.usage.tokens import estimated_prompt

# Behind everybody's questions, and before the files of batches.
PRIORITY = 2 * PRIORITY_STEP
# A title has ten; the rest is for models that cannot be kept from thinking.
MAX_TOKENS = 200
SILENCE_TIMEOUT_S = 60.0
QUESTION_MAX, REPLY_MAX = 2000, 1000
PROMPT = (
    "Write a title for the conversation below, in the language in which the user writes: two to six words that say "
    "what it is about. Answer with the title alone, without quotation marks.\n\n"
    "User: {question}\n\nAssistant: {reply}"
)
# What some templates call the switch of their thoughts; the others pass over it.
WITHOUT_THOUGHTS = {"enable_thinking": False, "thinking": False}
THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)|\A.*</think>", re.DOTALL)
LABEL = re.compile(r"\A\W*(?:title|titel)\W*:", re.IGNORECASE)
# Quotation marks of several languages, and the marks of Markdown.
QUOTES = " \"'`*_~\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u2018\u2019\u201a\u300c\u300d\u300e\u300f"
BEFORE, AFTER = QUOTES + "#>-\u2013\u2014", QUOTES + ".:"
JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"

log = logging.getLogger(__name__)


@dataclass
class ComingTitle:
    call: Call
    is_over: threading.Event = field(default_factory=threading.Event)


class Titles:
    """All methods may be called from any thread."""

    def __init__(self, settings: WebSettings, store: ConversationStore, recorder: Recorder) -> None:
        self._settings = settings
        self._store = store
        self._recorder = recorder
        self._lock = threading.Lock()
        self._coming: dict[str, ComingTitle] = {}
        # Conversations whose next question came before their title.
        self._postponed: set[str] = set()

    def is_coming(self, conversation_id: str) -> bool:
        """Say so also of one that has come since the last question: a page may not have it yet."""
        return conversation_id in self._coming

    def wait(self, conversation_id: str, timeout_s: float) -> None:
        """Wait until a title that is coming is there, or is not going to be."""
        coming = self._coming.get(conversation_id)
        if coming is not None:
            coming.is_over.wait(timeout_s)

    def postpone(self, conversation_id: str) -> None:
        """Give up the title that is coming, for the next question; it is asked for again after the reply to that."""
        with self._lock:
            coming = self._coming.pop(conversation_id, None)
            is_running = coming is not None and not coming.is_over.is_set()
            if is_running:
                self._postponed.add(conversation_id)
        if coming is not None and is_running:
            coming.is_over.set()
            coming.call.abort()

    def expect(self, turn: Turn, visitor: ApiKey) -> ComingTitle | None:
        """Say whether this reply is followed by a title; whoever is told so has it made by `make`."""
        conversation_id = turn.reply.conversation_id
        if not self._settings.chat_titles or turn.reply.state == "failed" or not turn.reply.content:
            return None
        if turn.earlier and conversation_id not in self._postponed:
            return None
        conversation = self._store.find_conversation(conversation_id, visitor.id)
        if conversation is None or conversation.title != _first_line(turn):
            return None
        state = engine_state(self._settings)
        coming = ComingTitle(open_call(self._settings, state, silence_timeout_s=SILENCE_TIMEOUT_S))
        with self._lock:
            self._postponed.discard(conversation_id)
            self._coming[conversation_id] = coming
        return coming

    def make(self, coming: ComingTitle, turn: Turn, visitor: ApiKey) -> None:
        """Ask for the title, and put it in the place of the first line unless a person was quicker."""
        conversation_id = turn.reply.conversation_id
        try:
            title = self._ask(coming.call, turn.question, turn.reply, visitor)
            if title and self._coming.get(conversation_id) is coming:
                self._store.retitle(conversation_id, visitor.id, _first_line(turn), title)
        except (UpstreamError, OSError, ValueError, LookupError, TypeError, sqlite3.Error) as error:
            log.info("no title for a conversation: %s", error)
        finally:
            coming.call.close()
            coming.is_over.set()

    def _ask(self, call: Call, question: Message, reply: Message, visitor: ApiKey) -> str:
        prompt = PROMPT.format(question=question.content[:QUESTION_MAX], reply=reply.content[:REPLY_MAX])
        body = json.dumps({
            "model": reply.model, "messages": [{"role": "user", "content": prompt}], "max_tokens": MAX_TOKENS,
            "temperature": 0.3, "priority": PRIORITY, "chat_template_kwargs": WITHOUT_THOUGHTS,
        }).encode()  # fmt: skip
        with self._recorded(reply, visitor, body) as answers:
            call.send("POST", "/v1/chat/completions", body=body, headers={"Content-Type": "application/json"})
            answer = call.response()
            assert answer is not None  # noqa: S101 - only a watched client makes it None
            answers.append((answer.status, answer.read()))
        status, document = answers[0]
        if status != 200:
            raise ValueError(f"the engine answered with the error {status}")
        return cleaned(str(json.loads(document)["choices"][0]["message"].get("content") or ""))

    @contextmanager
    def _recorded(self, reply: Message, visitor: ApiKey, body: bytes) -> Iterator[list[tuple[int, bytes]]]:
        """It is one more request of that person's; where another session answers, that one counts it."""
        answers: list[tuple[int, bytes]] = []
        if engine_state(self._settings).successor is not None:
            yield answers
            return
        opened = self._recorder.begin(
            RequestRecord(
                begun_at=time.time(), request_id=new_id(), key_id=visitor.id, key_name=visitor.name,
                model=reply.model or "", route=CHAT_ROUTE, is_stream=False, address="",
                prompt_tokens=estimated_prompt(body),
            ), body,
        )  # fmt: skip
        try:
            yield answers
        finally:
            if answers:
                opened.settle_answer(*answers[0])
            else:
                opened.settle_cut_off(has_died=False)


def cleaned(answer: str) -> str:
    """Take the title out of what a model wrote: no thoughts, quotes and marks, and nothing that turns a line around."""
    lines = [line.strip() for line in THOUGHTS.sub("", answer).splitlines()]
    line = LABEL.sub("", next(filter(None, lines), ""))
    shown = "".join(each for each in line if each in JOINERS or unicodedata.category(each) not in {"Cc", "Cf", "Cs"})
    return title_of(shown.lstrip(BEFORE).rstrip(AFTER))


def _first_line(turn: Turn) -> str:
    return title_of((turn.earlier[0] if turn.earlier else turn.question).content)

"""What a reply in the page comes to, in the record of requests, as if a script of that person had asked."""

from __future__ import annotations

import time

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.chat.reply import Reply
from llm_hoster.usage.record import CHAT_ROUTE, CLIENT_GONE, ENGINE_ENDED, RequestRecord
from llm_hoster.usage.recorder import Recorder
from llm_hoster.usage.tokens import estimated_prompt


class Receipt:
    """One reply's. Where another session answers (`is_ours` is false) that one counts it."""

    def __init__(self, recorder: Recorder, reply: Reply, visitor: ApiKey, question: bytes, *, is_ours: bool) -> None:
        self.status: int | None = None  # vLLM's, where it is an error
        self._reply = reply
        self._opened = recorder.begin(_record(reply, visitor, question), question) if is_ours else None

    def settle(self) -> None:
        reply, opened = self._reply, self._opened
        if opened is None:
            return
        if self.status is not None:
            opened.settle(self.status)
            return
        told = reply.tokens or opened.estimate(reply.deltas)
        first_token_s = reply.message.first_token_s
        opened.settle(
            *self._end(),
            tokens=told,
            is_estimated=reply.tokens is None,
            first_byte_at=None if first_token_s is None else reply.started + first_token_s,
        )

    def _end(self) -> tuple[int, str | None]:
        if self._reply.message.state == "done":
            return 200, None
        return CLIENT_GONE if self._reply.message.state == "stopped" else ENGINE_ENDED


def _record(reply: Reply, visitor: ApiKey, question: bytes) -> RequestRecord:
    return RequestRecord(
        begun_at=time.time(),
        request_id=reply.id,
        key_id=visitor.id,
        key_name=visitor.name,
        model=reply.message.model or "",
        route=CHAT_ROUTE,
        is_stream=True,
        address="",
        prompt_tokens=estimated_prompt(question),
    )

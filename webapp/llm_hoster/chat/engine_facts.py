"""What the engine knows of its model and the pages do not: how many tokens a text has, and whether it sees pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from urllib3.exceptions import HTTPError as UpstreamError

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.block import question_block
from llm_hoster.attachments.store import AttachmentStore
from llm_hoster.engine.record.state import SERVING, State
from llm_hoster.gateway.successor import open_call
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import engine_state

TIMEOUT_S = 20.0
# Of a longer text the first part is counted: the answer names each token, and the engine has others to serve.
COUNTED_MAX_CHARACTERS = 400_000
# 64 by 64 pixels of one grey: the smallest that all models take for a picture.
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAKUlEQVR42u3MQREAAAwCIKMb3RD77SAA6VEEAoFA"
    "IBAIBAKBQCAQfA8G320AeXC6efoAAAAASUVORK5CYII="
)
# What was found out, by the engine's address, its model and when it came up.
_seeing: dict[tuple[str, str, float | None], bool] = {}
_limits: dict[tuple[str, str, float | None], int] = {}


def count_tokens(settings: WebSettings, attachment: Attachment, store: AttachmentStore) -> Attachment:
    """Give it with the tokens of its text, or as it is where the engine does not say."""
    if attachment.kind == "picture":
        return attachment
    text = question_block(attachment, store.content(attachment))
    state = engine_state(settings)
    counted = text[:COUNTED_MAX_CHARACTERS]
    body = {"model": state.model.name, "prompt": counted, "add_special_tokens": False}
    status, answer = _ask(settings, state, body)
    tokens = answer.get("count") if status == 200 else None
    if type(tokens) is not int:
        return attachment
    return replace(attachment, tokens=tokens * len(text) // max(1, len(counted)))


def sees_pictures(settings: WebSettings, state: State) -> bool:
    """
    Whether the model takes pictures, with the arguments that it was started with.

    Nobody but the engine knows it for every model, typed ones among them. Where it does not say, it is left to refuse.
    """
    engine = _engine_of(settings, state)
    if engine not in _seeing:
        content = [{"type": "image_url", "image_url": {"url": PICTURE}}, {"type": "text", "text": "?"}]
        body = {"model": state.model.name, "messages": [{"role": "user", "content": content}]}
        status, _ = _ask(settings, state, body)
        if status not in (200, 400):
            return True
        _seeing[engine] = status == 200
    return _seeing[engine]


def context_limit(settings: WebSettings, state: State) -> int | None:
    """Say how many tokens the model reads at once, its reply included; None where the engine does not say."""
    engine = _engine_of(settings, state)
    if engine not in _limits:
        _, answer = _ask(settings, state, {"model": state.model.name, "prompt": ""})
        limit = answer.get("max_model_len")
        if type(limit) is not int:
            return None
        _limits[engine] = limit
    return _limits[engine]


def _engine_of(settings: WebSettings, state: State) -> tuple[str, str, float | None]:
    place = state.successor.base_url if state.successor else str(settings.socket_path)
    return place, state.model.name, state.ready_at


def _ask(settings: WebSettings, state: State, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Give status 0 where nobody answers."""
    if state.state not in SERVING:
        return 0, {}
    path = "/tokenize" if state.successor is None else "/v1/tokenize"
    call = open_call(settings, state, silence_timeout_s=TIMEOUT_S)
    try:
        call.send("POST", path, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        answer = call.response()
        assert answer is not None  # noqa: S101 - only a watched client makes it None
        found = json.loads(answer.read())
        return answer.status, found if isinstance(found, dict) else {}
    except (UpstreamError, OSError, ValueError):
        return 0, {}
    finally:
        call.close()

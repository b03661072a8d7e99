"""What the engine knows of its model and the pages do not: how many tokens a text has, and whether it sees pictures."""

from __future__ import annotations

from dataclasses import replace

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.block import question_block
from llm_hoster.attachments.store import AttachmentStore
from llm_hoster.chat.tokenization import EngineRun, run_of, tokenize
from llm_hoster.engine.record.state import State
from llm_hoster.settings import WebSettings
from llm_hoster.status.engine_notice import engine_state

# Of a longer text the first part is counted: the answer names each token, and the engine has others to serve.
COUNTED_MAX_CHARACTERS = 400_000
# 64 by 64 pixels of one grey: the smallest that all models take for a picture.
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAKUlEQVR42u3MQREAAAwCIKMb3RD77SAA6VEEAoFA"
    "IBAIBAKBQCAQfA8G320AeXC6efoAAAAASUVORK5CYII="
)
_seeing: dict[EngineRun, bool] = {}


def count_tokens(settings: WebSettings, attachment: Attachment, store: AttachmentStore) -> Attachment:
    """Give it with the tokens of its text, or as it is where the engine does not say."""
    if attachment.kind == "picture":
        return attachment
    text = question_block(attachment, store.content(attachment))
    counted = text[:COUNTED_MAX_CHARACTERS]
    tokens = tokenize(settings, engine_state(settings), prompt=counted, add_special_tokens=False).tokens
    return attachment if tokens is None else replace(attachment, tokens=tokens * len(text) // max(1, len(counted)))


def sees_pictures(settings: WebSettings, state: State) -> bool:
    """
    Whether the model takes pictures, with the arguments that it was started with.

    Nobody but the engine knows it for every model, typed ones among them. Where it does not say, it is left to refuse.
    """
    run = run_of(settings, state)
    if run not in _seeing:
        content = [{"type": "image_url", "image_url": {"url": PICTURE}}, {"type": "text", "text": "?"}]
        status = tokenize(settings, state, messages=[{"role": "user", "content": content}]).status
        if status not in (200, 400):
            return True
        _seeing[run] = status == 200
    return _seeing[run]

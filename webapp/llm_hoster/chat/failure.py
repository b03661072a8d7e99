"""Why a reply failed, in a sentence for the person who asked."""

from __future__ import annotations

import json
import re
from http import HTTPStatus

from llm_hoster.chat.delta import whole
from llm_hoster.chat.message import Message
from llm_hoster.chat.refused_setting import sentence_of_setting
from llm_hoster.gateway.envelope import NO_SUCH_PATH
from llm_hoster.gateway.forward import ENGINE_DEAD

ENDED = "The engine ended in the middle of this reply. Send the message again when the model is ready."
SILENT = "The engine has said nothing for ten minutes, so this reply was given up."
# Only a model that a person typed can be of this kind without our knowing: the list says it of all others.
EMBEDS = "This model does not write: it is made for embeddings, which programs ask for under /v1/embeddings."
CONTEXT_FULL = "This conversation is longer than the "
CONTEXT_LENGTH = re.compile(r"maximum context length (?:is|of) (\d+)", re.IGNORECASE)


def sentence_of(status: int, body: bytes) -> str:
    """Explain vLLM's error answer; its own message is told where we know nothing better."""
    try:
        document = json.loads(body)
        if status == HTTPStatus.NOT_FOUND and document == NO_SUCH_PATH:
            return EMBEDS
        error = document["error"]
        message = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return f"The engine answered with the error {status}."
    return sentence_of_message(whole(message))


def is_context_full(message: Message) -> bool:
    """Tell a reply that failed because there was too much to read."""
    return message.state == "failed" and (message.failure or "").startswith(CONTEXT_FULL)


def sentence_of_message(message: str) -> str:
    context = CONTEXT_LENGTH.search(message)
    if context is not None:
        return (
            f"{CONTEXT_FULL}{int(context[1]):,} tokens that the model can read. "
            "Choose below what it shall leave out, or send a shorter message."
        )
    if ENGINE_DEAD in message:
        return ENDED
    return sentence_of_setting(message) or f"The engine refused this: {message}"

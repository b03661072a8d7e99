"""A question with what is attached to it, as OpenAI's `content` of a message."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.block import question_block
from llm_hoster.attachments.refusal import refusal
from llm_hoster.attachments.store import AttachmentStore
from llm_hoster.errors import AttachmentError


def message_content(
    question: str,
    attachments: Sequence[Attachment],
    store: AttachmentStore,
    *,
    takes_pictures: bool,
    is_past: bool = False,
) -> str | list[dict[str, Any]]:
    """
    Put the files first, in their order, and then the question; a text where there is no picture, else parts.

    Raise AttachmentError where a file is lost, or is a picture and the model takes none. Of a question that `is_past`
    the model is told so instead: nobody can attach a file to it any more, and the chat goes on.
    """
    parts: list[dict[str, Any]] = []
    text = ""
    for attachment in attachments:
        try:
            block, url = _told(attachment, store, takes_pictures=takes_pictures)
        except AttachmentError:
            if not is_past:
                raise
            block, url = f"File: {attachment.name} (it cannot be read any more)\n", None
        text += f"{block}\n"
        if url is not None:
            parts += [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
            text = ""
    text += question
    if not parts:
        return text
    return [*parts, {"type": "text", "text": text}] if text else parts


def _told(attachment: Attachment, store: AttachmentStore, *, takes_pictures: bool) -> tuple[str, str | None]:
    """Give the block, and of a picture what it shows, as an address."""
    if attachment.kind == "picture" and not takes_pictures:
        raise refusal("no_pictures", name=attachment.name)
    content = store.content(attachment)
    block = question_block(attachment, content)
    if attachment.kind != "picture":
        return block, None
    encoded = base64.b64encode(store.data(attachment)).decode("ascii")
    return block, f"data:{content.media_type};base64,{encoded}"

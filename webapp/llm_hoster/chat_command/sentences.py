"""What went wrong, as one sentence for a person."""

from __future__ import annotations

import openai

from llm_hoster.chat_command.terminal_text import plain


def sentence_of(error: Exception) -> str:
    """Give the session's own words where it said any; the openai package puts its status and all else around them."""
    body = error.body if isinstance(error, openai.APIError) else None
    message = body.get("message") if isinstance(body, dict) else None
    return plain(message if isinstance(message, str) and message else str(error))

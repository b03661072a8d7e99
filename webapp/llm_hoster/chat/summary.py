"""What the model is told to write a summary, in pieces that fit into its context."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

# The engine's count of a piece is not known before: a guess may be wrong by so much.
SAFETY = 0.75
INSTRUCTION_TOKENS = 150
ANSWER_SHARE, ANSWER_MAX_TOKENS = 8, 1024
PIECE_MIN_CHARACTERS = 200
THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)|\A.*</think>", re.DOTALL)
INSTRUCTION = (
    "Summarise the conversation below for a model that will go on with it and cannot read it. Keep what was asked, "
    "found out and decided, names, numbers, paths and the code that still matters, and what is open. Write at most "
    "{words} words, in the language of the conversation. Write nothing but the summary."
)
FIRST = "{instruction}\n\nThe conversation:\n\n{piece}"
FURTHER = (
    "{instruction}\n\nA summary of its beginning:\n\n{summary}\n\nHow it goes on:\n\n{piece}\n\n"
    "Write one summary of both."
)
WHO = {"user": "The person", "assistant": "The model"}


@dataclass(frozen=True)
class Piece:
    """One question to the model, and the text that is left for the next one."""

    body: dict[str, Any]
    rest: str


def transcript(messages: list[dict[str, Any]]) -> str:
    """Write what was said as one text; of pictures that there were some."""
    return "\n\n".join(f"{WHO[message['role']]}:\n{_text_of(message['content'])}" for message in messages)


def answer_tokens(limit: int) -> int:
    return min(limit // ANSWER_SHARE, ANSWER_MAX_TOKENS)


def piece_characters(limit: int, characters_per_token: float) -> int:
    """Say how long a piece may be, beside the summary of what came before it and the one that is to be written."""
    tokens = limit - 2 * answer_tokens(limit) - INSTRUCTION_TOKENS
    return max(PIECE_MIN_CHARACTERS, int(tokens * characters_per_token * SAFETY))


def next_piece(text: str, length: int, summary: str, limit: int) -> Piece:
    """Cut `text` after a paragraph, a line or a word, and say how to go on from the summary of what came before."""
    end = _end_of(text, length)
    tokens = answer_tokens(limit)
    instruction = INSTRUCTION.format(words=tokens // 2)
    form = FURTHER if summary else FIRST
    question = form.format(instruction=instruction, summary=summary, piece=text[:end].strip())
    body = {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "temperature": 0.2,
        "stream": True,
        "stream_options": {"include_usage": True},
        # Thoughts would take the room of the summary; templates that know none pass over this.
        "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
    }
    return Piece(body, text[end:].strip())


def without_thoughts(text: str) -> str:
    return THOUGHTS.sub("", text).strip()


def _end_of(text: str, length: int) -> int:
    if len(text) <= length:
        return len(text)
    for mark in ("\n\n", "\n", " "):
        end = text.rfind(mark, length // 2, length)
        if end > 0:
            return end
    return length


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] if part.get("type") == "text" else "(a picture)" for part in content)

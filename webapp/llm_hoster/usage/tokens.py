"""The tokens of one answer, as the engine tells them at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# In a text of the model the quotes would have backslashes.
USAGE = b'"usage":{'
# The longest `usage` that is read.
USAGE_MAX_BYTES = 16384
COUNT_MAX = 2**40
# A token of English has four letters, and so has one of JSON about it.
BYTES_PER_TOKEN = 4
# A question with pictures in it has bytes that are no text.
ESTIMATE_MAX = 32768


@dataclass(frozen=True)
class Tokens:
    """`cached` are those of the prompt that the engine had already; `prompt` counts them too."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


def tokens_in(answer: bytes) -> Tokens | None:
    """Find the last `usage` in an answer or an event; None where there is none that makes sense."""
    start = answer.rfind(USAGE) + len(USAGE) - 1
    if start < len(USAGE) - 1:
        return None
    text = answer[start : start + USAGE_MAX_BYTES].decode(errors="replace")
    try:
        usage, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return tokens_of(usage)


def tokens_of(usage: Mapping[str, Any]) -> Tokens:
    """Read `usage` as OpenAI's two APIs and Anthropic's spell it. The last leaves what was cached out of its input."""
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    apart = _count(usage.get("cache_read_input_tokens"))
    prompt = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
    completion = _count(usage.get("completion_tokens", usage.get("output_tokens")))
    return Tokens(prompt + apart + _count(usage.get("cache_creation_input_tokens")), cached + apart, completion)


def estimated_prompt(question: bytes | None) -> int:
    """Guess from the length, for a question whose end tells nothing."""
    return min(ESTIMATE_MAX, len(question or b"") // BYTES_PER_TOKEN)


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value <= COUNT_MAX else 0

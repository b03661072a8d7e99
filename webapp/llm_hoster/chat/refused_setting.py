"""What vLLM 0.32 says where it refuses a setting, as a sentence for the person who has set it."""

from __future__ import annotations

import re

TOO_LONG = re.compile(r"max_(?:completion_)?tokens=(\d+) cannot be greater than max_model_len=(\d+)")
NO_TOOLS = re.compile(r"--tool-call-parser to be set")
# The last group is what is wrong.
SCHEMA = re.compile(
    r"Grammar error: (.*)|json schema into a grammar: (.*)|JSON schema (?:is|contains) (.*)", re.IGNORECASE | re.DOTALL
)
REASON_MAX = 300


def sentence_of_setting(message: str) -> str | None:
    """Give None for what is no setting's fault."""
    too_long = TOO_LONG.search(message)
    if too_long is not None:
        return (
            f"The longest reply in the settings of this chat, {int(too_long[1]):,} tokens, is more than the "
            f"{int(too_long[2]):,} that the model has for question and reply together. Make it smaller, and try again."
        )
    if NO_TOOLS.search(message):
        return (
            "This model was started without anything that reads its tool calls. Take the tools out of the settings of "
            "this chat, and try again."
        )
    schema = SCHEMA.search(message)
    if schema is not None:
        reason = " ".join(next(filter(None, schema.groups()), "").split())[:REASON_MAX].rstrip(".")
        return (
            f"The engine can make no use of the JSON Schema in the settings of this chat: {reason}. "
            "Change it there, and try again."
        )
    return None

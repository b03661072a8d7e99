"""What pydantic has against a value, in one sentence."""

from __future__ import annotations

from pydantic import ValidationError


def sentence_of(error: ValidationError) -> str:
    """Name the first field that is wrong. The value is left out: it may be long, or a secret in the wrong place."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part)[:80] for part in first["loc"])
    return f"{field}: {first['msg']}." if field else f"{first['msg']}."

"""Whose a file or a batch is: the key's that it came with."""

from __future__ import annotations

from llm_hoster.api_keys.api_key import OWNER


def may_see(caller: str, whose: str) -> bool:
    """A guest sees their own; the owner all, since all lies in the owner's folder and counts there."""
    return caller in (OWNER, whose)

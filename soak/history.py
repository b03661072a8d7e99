"""What the page has shown as done, and what of it is on the disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llm_hoster.job_database import opened_copy
from soak.page import Shown


def lost(history: Path, shown: Iterable[Shown]) -> list[str]:
    """Name the replies that are not there as they were shown."""
    with opened_copy(history) as database:
        kept = {row[0]: row[1:] for row in database.execute("SELECT id, state, content FROM messages")}
    found = []
    for each in shown:
        state, content = kept.get(each.message_id, ("missing", ""))
        if state != "done" or content.strip() != each.text.strip():
            found.append(f"reply {each.message_id} was shown as done, is {state} and ends with {content[-40:]!r}")
    return found

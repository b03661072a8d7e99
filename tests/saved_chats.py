"""A chat history on the disk, read beside the session that writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_hoster.job_database import opened_copy


def read_saved(history: Path, query: str, *values: str) -> list[tuple[Any, ...]]:
    """Read a copy, and touch nothing of the file."""
    with opened_copy(history) as database:
        return database.execute(query, values).fetchall()

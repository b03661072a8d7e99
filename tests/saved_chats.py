"""A chat history on the disk, read beside the session that writes it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any


def read_saved(history: Path, query: str, *values: str) -> list[tuple[Any, ...]]:
    """
    Read the file and touch nothing of it.

    The session takes no locks, so any other way of opening would take its journal for a dead process's and undo what is
    being written. Read in the middle of a write, the file makes no sense: then nothing is found, and one asks again.
    """
    with contextlib.closing(sqlite3.connect(f"file:{history}?immutable=1", uri=True)) as disk:
        try:
            return disk.execute(query, values).fetchall()
        except sqlite3.DatabaseError:
            return []

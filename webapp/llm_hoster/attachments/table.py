"""CSV and TSV: their rows, their columns and their first lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from llm_hoster.attachments.bounds import TABLE_HEAD_CHARACTERS, TABLE_HEAD_ROWS

ENDINGS = ("csv", "tsv", "tab")
SEPARATORS = ",;\t|"


def measure_table(text: str) -> tuple[int, int] | None:
    """Give rows and columns, or None for what is no table. The first line is taken for the names of the columns."""
    lines = columns = 0
    try:
        for record, _ in _records(text):
            columns = columns or len(record)
            lines += 1
    except csv.Error:
        return None
    return (lines - 1, columns) if columns > 1 else None


def read_head(text: str) -> tuple[str, int]:
    """Give the first line and the first rows of a table, as they are written, and the number of these rows."""
    end = rows = 0
    for number, (_, taken) in enumerate(_records(text)):
        if number > TABLE_HEAD_ROWS or taken > TABLE_HEAD_CHARACTERS:
            break
        end, rows = taken, number
    return text[: end or TABLE_HEAD_CHARACTERS], rows


def _records(text: str) -> Iterator[tuple[list[str], int]]:
    """Each with the number of characters up to its end: a quoted field may have several lines."""
    first_line = text.lstrip("\n").partition("\n")[0]
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in io.StringIO(text, newline="\n"):
            taken += len(line)
            yield line

    for record in csv.reader(lines(), delimiter=max(SEPARATORS, key=first_line.count)):
        if record:
            yield record, taken

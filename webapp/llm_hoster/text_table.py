"""A table for a terminal, plain and the same where it is piped."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def text_table(rows: Sequence[Sequence[str]], *, numbers: Collection[int] = ()) -> str:
    """Align the columns, of which those in `numbers` to the right. The first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        lines.append("  ".join(f"{cell:{'>' if column in numbers else '<'}{width}}" for column, (cell, width) in cells))
    return "\n".join(map(str.rstrip, lines))

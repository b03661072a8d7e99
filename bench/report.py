"""How a measurement is printed: a table for people, one JSON object as the last line for programs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence

import click


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; `share` lies between 0 and 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def print_report(rows: Mapping[str, Sequence[float]], result: Mapping[str, float], *, only_json: bool) -> None:
    """Print minimum, median and maximum of each row, unless only the JSON line is wanted."""
    if not only_json:
        width = max(map(len, rows))
        click.echo(f"{'':{width}}  {'min':>9}  {'median':>9}  {'max':>9}  rounds")
        for name, values in rows.items():
            low, middle, high = min(values), statistics.median(values), max(values)
            click.echo(f"{name:{width}}  {low:9.3f}  {middle:9.3f}  {high:9.3f}  {len(values):6d}")
    click.echo(json.dumps({name: round(value, 3) for name, value in result.items()}))

"""A summary as a table for people, and as CSV and JSON for programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

from llm_hoster.status_command.text import clean
from llm_hoster.text_table import text_table
from llm_hoster.usage_command.summary import Row, Summary

COLUMNS = {
    "requests": "Requests", "errors": "Errors", "refused": "Refused", "prompt_tokens": "Prompt", "cached_tokens":
    "Cached", "completion_tokens": "Reply", "estimated": "Estimated", "mean_s": "Mean s", "su": "SU",
}  # fmt: skip
# What a spreadsheet takes for a formula; names of keys and models may come from others.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_text(summary: Summary) -> str:
    if not summary.sessions:
        return "No session has left a record of its requests."
    table = [[summary.by.capitalize(), *COLUMNS.values()]]
    table += [_cells(row) for row in (*summary.rows, summary.total)]
    return f"{text_table(table, numbers=range(1, len(table[0])))}\n\n{_cost(summary)}"


def as_csv(summary: Summary) -> str:
    names = [field.name for field in dataclasses.fields(Row)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([summary.by, *names[1:]])
    for row in summary.rows:
        name = f"'{row.name}" if row.name.startswith(FORMULA) else row.name
        writer.writerow([name, *(getattr(row, each) for each in names[1:])])
    return text.getvalue().rstrip("\n")


def as_json(summary: Summary) -> str:
    return json.dumps(dataclasses.asdict(summary), indent=2)


def _cells(row: Row) -> list[str]:
    mean_s = row.duration_s / row.requests if row.requests else 0.0
    numbers = [f"{getattr(row, name):,}" for name in list(COLUMNS)[:-2]]
    return [clean(row.name)[:60], *numbers, f"{mean_s:,.2f}", f"{row.su:,.2f}"]


def _cost(summary: Summary) -> str:
    sessions = "1 session" if summary.sessions == 1 else f"{summary.sessions} sessions"
    text = f"{sessions}, {summary.su_used:,.2f} SU"
    if summary.running:
        text += f" so far: {summary.running} still {'runs' if summary.running == 1 else 'run'}"
    return f"{text}. SU are shared out by tokens."

"""The command `llm-hoster usage`."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

import click

from llm_hoster.errors import UsageError
from llm_hoster.own_data_dir import data_dir_option, own_data_dir
from llm_hoster.usage.reading import read_usage, usage_files
from llm_hoster.usage.recorder import FOLDER
from llm_hoster.usage_command.summary import By, summarize
from llm_hoster.usage_command.text import as_csv, as_json, as_text

SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}


@click.command()
@click.option("--since", default="", metavar="TIME", help="A date (2026-11-22), or a time ago (24h, 7d, 2w).")
@click.option("--by", type=click.Choice(["key", "model", "day"]), default="key", show_default=True)
@click.option("--json", "as_what", flag_value="json", help="For a program.")
@click.option("--csv", "as_what", flag_value="csv", help="For a spreadsheet.")
@data_dir_option
def usage(since: str, by: By, as_what: str | None, data_dir: Path | None) -> None:
    """
    Add up who has asked how much, over all your sessions: requests, tokens, and their part of the SU.

    What a running session has done counts up to a moment ago.
    """
    begin = _time(since)
    usages = []
    for path in usage_files(own_data_dir(data_dir) / FOLDER):
        try:
            usages.append(read_usage(path, begin))
        except UsageError as error:
            click.echo(f"llm-hoster: {error} It is left out.", err=True)
    summary = summarize(usages, by)
    click.echo({"json": as_json, "csv": as_csv}.get(as_what or "", as_text)(summary))


def _time(text: str) -> float:
    """Read it in Unix seconds; nothing is the beginning of all times."""
    if not text:
        return 0.0
    ago = re.fullmatch(r"(\d{1,6})([hdw])", text)
    if ago is not None:
        return time.time() - int(ago[1]) * SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        message = f"--since {text[:40]!r}: expected a date such as 2026-11-22, or a time ago such as 24h, 7d or 2w."
        raise UsageError(message) from error

"""The command `llm-hoster bench`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from llm_hoster.bench_command.figures import Figures
from llm_hoster.bench_command.load import Target, measure
from llm_hoster.client.endpoint import Endpoint
from llm_hoster.errors import EngineError
from llm_hoster.own_sessions import find_session
from llm_hoster.session_argument import session_argument

KEY_VARIABLE = "OPENAI_API_KEY"
REQUESTS_PER_CONCURRENCY = 8


class Concurrencies(click.ParamType[Any]):
    """Whole numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        numbers = [text.strip() for text in str(value).split(",")]
        if not all(number.isdecimal() and 1 <= int(number) <= 1000 for number in numbers):
            self.fail(f"{str(value)[:80]!r}: expected numbers from 1 to 1000 with commas between them, as 1,8,32")
        return tuple(map(int, numbers))


@click.command()
@session_argument
@click.option("--concurrency", type=Concurrencies(), default="1,8,32", show_default=True, help="Requests at a time.")
@click.option("--requests", type=click.IntRange(1, 100_000), help="For each concurrency; else 8 times as many as it.")
@click.option("--input-tokens", type=click.IntRange(1, 1_000_000), default=128, show_default=True)
@click.option("--output-tokens", type=click.IntRange(1, 1_000_000), default=128, show_default=True)
@click.option("--base-url", help="Another endpoint, up to /v1; with --model.")
@click.option("--model", help="Its name there; else the session's.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"The file with the key of --base-url; else it is read from {KEY_VARIABLE}.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object for each concurrency.")
def bench(
    session: str | None,
    concurrency: Sequence[int],
    requests: int | None,
    input_tokens: int,
    output_tokens: int,
    base_url: str | None,
    model: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """
    Measure how fast a session of yours answers: throughput, time to the first token (TTFT), and time between tokens.

    SESSION is its folder, its id, or the beginning of its id; it may be left out where only one runs. The replies count
    as any others do: towards the limits of the key, and in `llm-hoster usage`.
    """
    endpoint = _endpoint(session, base_url, model, key_file)
    target = Target(endpoint.base_url, endpoint.api_key, model or endpoint.model, input_tokens, output_tokens)
    found = []
    for number in concurrency:
        count = requests or number * REQUESTS_PER_CONCURRENCY
        with click.progressbar(length=count, label=f"{number} at a time", file=sys.stderr) as bar:
            figures = measure(target, number, count, bar.update)
        if not figures.answered:
            raise EngineError(f"No request was answered. The first error: {figures.errors[0]}")
        found.append(figures)
    click.echo(json.dumps([each.document() for each in found], indent=2) if as_json else _table(found))


def _endpoint(session: str | None, base_url: str | None, model: str | None, key_file: Path | None) -> Endpoint:
    if base_url is None:
        return find_session(session).require_endpoint()
    if model is None:
        raise click.UsageError("--base-url needs --model, the name of the model there.")
    key = key_file.read_text().strip() if key_file is not None else os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise click.UsageError(f"--base-url needs a key: in {KEY_VARIABLE}, or in the file of --key-file.")
    return Endpoint(base_url, key, model)


def _table(found: Sequence[Figures]) -> str:
    lines = [
        f"{'at a':>6} {'requests':>9} {'failed':>7} {'requests':>9} {'tokens':>9}  {'TTFT, ms':^26}"
        f"  {'between tokens, ms':^26}  {'whole reply, ms':^26}",
        f"{'time':>6} {'':>9} {'':>7} {'/s':>9} {'out/s':>9}" + f"  {'p50':>8} {'p95':>8} {'p99':>8}" * 3,
    ]
    for each in found:
        values = each.document()
        line = f"{values['concurrency']:>6} {values['requests']:>9} {values['failed']:>7}"
        line += f" {values['requests_per_s']:>9.2f} {values['output_tokens_per_s']:>9.1f}"
        for name in ("ttft_ms", "itl_ms", "latency_ms"):
            line += " " + "".join(f" {'-' if value is None else f'{value:.1f}':>8}" for value in values[name].values())
        lines.append(line)
    lines += [f"failed: {each.errors[0][:300]}" for each in found if each.errors]
    return "\n".join(lines)

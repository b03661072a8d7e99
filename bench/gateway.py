"""
What the gateway adds to vLLM, and what other gateways add, side by side.

A steady upstream answers 50 tokens a second to each of 1, 10, 100 and 200 streams: directly on its socket, through this
gateway as every session starts it, through the least proxy that Flask, gunicorn and urllib3 can be, and, where
`--peers` has installed them, through LiteLLM's proxy and vllm-router. Each round asks all of them in turn, so that what
else the machine does meets all alike; the figures are medians over the rounds. `--real` adds vLLM on CPU with the tiny
model at its own speed, directly and through the gateway.

The last line is JSON: by proxy and number of streams the figures of FIGURES; memory and CPU are those of the proxy's
processes. `requests_per_s` has small requests that are not streamed, 32 at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from bench.proxies import STARTERS, Place, Proxy, free_port, gateway, install_peers, is_installed
from bench.real_upstream import real_upstream
from bench.request_load import KEY_VARIABLE

FIGURES = (
    "lost_chunks", "ttft_ms_p50", "ttft_ms_p99", "gap_ms_p99", "cpu_us_per_chunk", "chunks_per_s", "memory_mb",
)  # fmt: skip
STREAMS = "1,10,100,200"
# The length of a usual reply: what a request costs is part of what its chunks cost. One stream alone is shorter, so
# that there are first tokens enough to speak of.
TOKENS = 200
TOKENS_OF_ONE = 20
TOKENS_PER_S = 50.0
AT_A_TIME = 32
LOAD_TIMEOUT_S = 120.0
REAL_STREAMS = (1, 8)
REAL_TOKENS = 100
REAL_SPREAD_S = 2.0

Rounds = dict[str, dict[str, list[dict[str, float]]]]


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="The time for which each load is measured.")
@click.option("--streams", "stream_list", default=STREAMS, show_default=True)
@click.option("--tokens", default=TOKENS, show_default=True, help="The length of a stream.")
@click.option("--only", help="The names of some proxies, with commas between them.")
@click.option("--peers", is_flag=True, help="Install LiteLLM and vllm-router first, below .venv/bench.")
@click.option("--real", is_flag=True, help="Measure behind vLLM on CPU, too.")
@click.option("--json", "only_json", is_flag=True, help="Print the last line alone.")
def main(
    rounds: int,
    seconds: float,
    stream_list: str,
    tokens: int,
    only: str | None,
    peers: bool,
    real: bool,
    only_json: bool,
) -> None:
    """Measure what lies between a program and vLLM: time to the first token, gaps, CPU, memory, requests."""
    if peers:
        install_peers()
    counts = [int(count) for count in stream_list.split(",")]
    names = [name for name in (only.split(",") if only else STARTERS) if is_installed(name)]
    for name in STARTERS.keys() - set(names) if not only else ():
        click.echo(f"{name} is not installed and left out; --peers installs it.", err=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        bench = Bench(Place(Path(folder) / "up.sock", free_port(), Path(folder)), seconds, tokens)
        result = bench.paced(names, counts, rounds)
        if real:
            result["real"] = bench.real(rounds)
    if not only_json:
        print_tables(result)
    click.echo(json.dumps(result))


class Bench:
    """The loads, each a process of its own, one at a time."""

    def __init__(self, place: Place, seconds: float, tokens: int) -> None:
        self._place = place
        self._seconds = seconds
        self._tokens = tokens
        os.environ[KEY_VARIABLE] = place.api_key

    def paced(self, names: list[str], counts: list[int], rounds: int) -> dict[str, Any]:
        found: Rounds = {name: {str(count): [] for count in counts} for name in names}
        requests: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        with steady_upstream(self._place), contextlib.ExitStack() as stack:
            proxies = {name: stack.enter_context(STARTERS[name](self._place)) for name in names}
            for number in range(rounds):
                for count in counts:
                    for name, proxy in proxies.items():
                        tell(f"round {number + 1} of {rounds}: {name}, {count} streams")
                        tokens = TOKENS_OF_ONE if count == 1 else self._tokens
                        spread_s = tokens / TOKENS_PER_S
                        found[name][str(count)].append(self._streams(proxy, count, tokens, spread_s))
                for name, proxy in proxies.items():
                    tell(f"round {number + 1} of {rounds}: {name}, small requests")
                    requests[name].append(self._requests(proxy))
        result: dict[str, Any] = medians(found)
        for figure in ("requests_per_s", "cpu_us_per_request"):
            result[figure] = {name: middle(each[figure] for each in values) for name, values in requests.items()}
        return result

    def real(self, rounds: int) -> dict[str, Any]:
        found: Rounds = {name: {str(count): [] for count in REAL_STREAMS} for name in ("direct", "gateway")}
        place = Place(self._place.folder / "vllm.sock", 0, self._place.folder, self._place.api_key)
        with real_upstream(place.socket_path, place.folder), gateway(place) as ours:
            proxies = {"direct": Proxy(str(place.socket_path), None), "gateway": ours}
            for number in range(rounds):
                for count in REAL_STREAMS:
                    for name, proxy in proxies.items():
                        tell(f"round {number + 1} of {rounds}: vLLM, {name}, {count} streams")
                        figures = self._streams(proxy, count, REAL_TOKENS, REAL_SPREAD_S, "--real")
                        found[name][str(count)].append(figures)
        return medians(found)

    def _streams(self, proxy: Proxy, count: int, tokens: int, spread_s: float, *more: str) -> dict[str, float]:
        options = {"streams": count, "tokens": tokens, "spread-s": spread_s}
        return self._load("bench.stream_load", proxy, options, *more)

    def _requests(self, proxy: Proxy) -> dict[str, float]:
        return self._load("bench.request_load", proxy, {"at-a-time": AT_A_TIME})

    def _load(self, module: str, proxy: Proxy, options: Mapping[str, Any], *more: str) -> dict[str, float]:
        options = {**options, "window-s": self._seconds} | ({} if proxy.pid is None else {"pid": proxy.pid})
        arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", module, proxy.address, *arguments, *more]
        load = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S)  # noqa: S603
        if load.returncode:
            raise click.ClickException(load.stderr[-2000:])
        figures = json.loads(load.stdout)
        for error in figures.pop("errors", []):
            tell(f"  {error}")
        return dict(figures)


@contextlib.contextmanager
def steady_upstream(place: Place) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.steady_upstream", str(place.socket_path), str(place.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own module
        assert process.stdout is not None and process.stdout.readline()  # noqa: S101 - "ready"
        try:
            yield
        finally:
            process.kill()


def medians(found: Rounds) -> dict[str, Any]:
    return {
        name: {
            count: {figure: middle(each[figure] for each in rounds) for figure in FIGURES}
            for count, rounds in counts.items()
        }
        for name, counts in found.items()
    }


def middle(values: Iterable[float]) -> float:
    return round(float(statistics.median(values)), 3)


def tell(what: str) -> None:
    click.echo(what, err=True)


def print_tables(result: Mapping[str, Any]) -> None:
    requests, cpu = result["requests_per_s"], result["cpu_us_per_request"]
    print_streams("steady upstream, 50 tokens/s", {name: result[name] for name in requests})
    if "real" in result:
        print_streams("vLLM on CPU at its own speed", result["real"])
    click.echo(f"small requests, {AT_A_TIME} at a time")
    for name, value in requests.items():
        click.echo(f"{name:12} {value:10.0f} a second {cpu[name]:10.0f} µs of CPU each")


def print_streams(title: str, found: Mapping[str, Any]) -> None:
    click.echo(f"{title}\n{'':12} {'streams':>8} " + " ".join(f"{figure:>16}" for figure in FIGURES))
    for name, counts in found.items():
        for count, figures in counts.items():
            values = " ".join(f"{figures[figure]:16.2f}" for figure in FIGURES)
            click.echo(f"{name:12} {count:>8} {values}")


if __name__ == "__main__":
    main()

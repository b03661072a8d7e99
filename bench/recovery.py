"""
What the supervisor costs, and how long a session is away after a crash.

vLLM is real and gets killed; the time runs until it answers again. Each time it is started alone too, with the same
arguments: the difference is ours. From the second crash on the supervisor waits on purpose, which is told apart.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import click
import requests

from bench.report import print_report
from bench.startup import find_settings, put_shim_before_vllm, stage_session, start_alone, wait_until
from llm_hoster.engine.record.state import read_state
from llm_hoster.engine.supervision.restart_policy import DELAYS_S

IDLE_S = 30.0
AGAIN_TIMEOUT_S = 300.0
POLL_S = 0.02


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1, len(DELAYS_S)), default=len(DELAYS_S), help="How often vLLM is killed."
)
@click.option("--json", "only_json", is_flag=True, help="Print the last line alone.")
def recovery(rounds: int, only_json: bool) -> None:
    """Measure the supervisor at rest, and the seconds from a crash until vLLM answers again."""
    rows: dict[str, list[float]] = {"away": [], "alone": [], "waited": [], "added": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        staged_root = stage_session(folder)
        noted = put_shim_before_vllm(staged_root, folder)
        environment = {"HOME": name, "PATH": os.environ["PATH"], "LLM_HOSTER_HOST": "127.0.0.1"}
        with (folder / "output.log").open("wb") as log:
            session = subprocess.Popen(  # noqa: S603 - the script that was just staged
                [str(staged_root / "script.sh")], cwd=staged_root, env=environment, stdout=log, stderr=log
            )
        try:
            wait_until(lambda: answers(staged_root), session, "the first answer")
            cpu_percent, memory_mb = rest(session.pid)
            runtime_dir = find_settings(int((staged_root / "port").read_text())).parent
            for waited_s in DELAYS_S[:rounds]:
                away_s = kill_and_wait(session, runtime_dir / "state.json", engine_pid(runtime_dir))
                alone_s = start_alone(noted).ready_s
                added_s = away_s - alone_s - waited_s
                for row, seconds in zip(rows.values(), (away_s, alone_s, waited_s, added_s), strict=True):
                    row.append(seconds)
        finally:
            session.send_signal(signal.SIGTERM)
            session.wait()
    titles = {
        "away": "crash to ready, s",
        "alone": "vLLM alone, s",
        "waited": "waited on purpose, s",
        "added": "the difference, s",
    }
    result = {f"{row}_s": round(statistics.median(seconds), 2) for row, seconds in rows.items()}
    print_report(
        {titles[row]: seconds for row, seconds in rows.items()}
        | {"supervisor at rest, % of a core": [cpu_percent], "supervisor, MB": [memory_mb]},
        result | {"supervisor_cpu_percent": round(cpu_percent, 3), "supervisor_mb": round(memory_mb, 1)},
        only_json=only_json,
    )


def kill_and_wait(session: subprocess.Popen[bytes], state_path: Path, engine: int) -> float:
    """Kill vLLM with all that it has started; give the seconds until vLLM answers again."""
    restarts = read_state(state_path).restarts
    began, deadline = time.time(), time.monotonic() + AGAIN_TIMEOUT_S
    os.killpg(engine, signal.SIGKILL)
    while (state := read_state(state_path)).restarts == restarts or state.state != "ready":
        if session.poll() is not None or state.state == "failed" or time.monotonic() > deadline:
            raise click.ClickException(f"The session did not serve again: {state.cause}")
        time.sleep(POLL_S)
    return state.transitions[-1].at - began


def engine_pid(runtime_dir: Path) -> int:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"serve" in words and f"{runtime_dir}/vllm.sock".encode() in words:
                return int(folder.name)
    raise click.ClickException("vLLM does not run.")


def answers(staged_root: Path) -> bool:
    try:
        endpoint = json.loads((staged_root / "endpoint.json").read_text())
        answer = requests.post(
            f"{endpoint['base_url']}/completions",
            json={"model": endpoint["model"], "prompt": "1", "max_tokens": 1},
            headers={"Authorization": f"Bearer {endpoint['api_key']}"},
            timeout=30,
        )
    except (OSError, requests.RequestException):
        return False
    return answer.ok


def rest(pid: int) -> tuple[float, float]:
    """Give the share of a core in percent and the memory in MB of the supervisor, while nobody asks."""
    before, began = cpu_s(pid), time.monotonic()
    time.sleep(IDLE_S)
    percent = 100 * (cpu_s(pid) - before) / (time.monotonic() - began)
    resident = re.search(r"^Rss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert resident is not None  # noqa: S101 - every Linux has it
    return percent, int(resident[1]) * 1024 / 1e6


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    recovery()

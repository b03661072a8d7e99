"""
How long a session takes to start, and how much of that is ours.

Each round stages a session as the portal does and starts its script.sh as OnDemand's job script does. vLLM is real; a
small program in its place notes the time and becomes it. A probe of its own asks vLLM's socket for its health, so that
the moment at which vLLM is up does not come from the code that is measured. After each session the same vLLM starts
alone, with the arguments and variables that the session gave it: a session may not be slower.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from bench.report import print_report
from bench.vllm_start import Start, print_steps, start_vllm
from portal.batch_app import BatchApp
from portal.demo_app import make_app
from portal.staging import stage

POLL_S = 0.002
# Asking takes CPU from the engine that is measured; 5 ms are a hundredth of what is allowed.
HEALTH_POLL_S = 0.005
READY_TIMEOUT_S = 300.0
SHIM = """#!/bin/sh
date +%s.%N >"{noted}"
printf '%s\\0' "{vllm}" "$@" >"{noted}.arguments"
env -0 >"{noted}.environment"
readlink -f "$2" >"{noted}.model"
exec "{vllm}" "$@"
"""


@dataclass(frozen=True)
class Round:
    """Seconds of one start."""

    login_page_s: float
    engine_exec_s: float
    healthy_to_ready_s: float
    engine_ready_s: float
    steps: dict[str, float]

    @property
    def added_to_engine_s(self) -> float:
        return self.engine_exec_s + self.healthy_to_ready_s


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How many sessions to start, one after the other.")
@click.option("--plain/--no-plain", default=True, show_default=True, help="Start vLLM alone after each session, too.")
@click.option("--json", "only_json", is_flag=True, help="Print the last line alone.")
def startup(rounds: int, plain: bool, only_json: bool) -> None:
    """Measure the login page, what we add to vLLM's start, and the whole start, in seconds."""
    with tempfile.TemporaryDirectory(prefix="bench-home-") as home:
        measure(Path(home), plain=False)  # Fills the caches, which a person's second session finds filled.
        pairs = [measure(Path(home), plain=plain) for _ in range(rounds)]
    done = [one for one, _ in pairs]
    rows = {
        "script.sh to login page, s": [one.login_page_s for one in done],
        "script.sh to vLLM's exec, s": [one.engine_exec_s for one in done],
        "vLLM healthy to ready, s": [one.healthy_to_ready_s for one in done],
        "added to vLLM's start, s": [one.added_to_engine_s for one in done],
        "script.sh to ready, s": [one.engine_ready_s for one in done],
    }
    result = {
        "login_page_s": statistics.median(rows["script.sh to login page, s"]),
        "added_to_engine_s": statistics.median(rows["added to vLLM's start, s"]),
        "engine_ready_s": statistics.median(rows["script.sh to ready, s"]),
    }
    if plain:
        sides = {
            "plain": [alone for _, alone in pairs if alone is not None],
            "session": [Start(one.steps, one.engine_ready_s) for one in done],
        }
        titles = {"plain": "plain vllm serve", "session": "session"}
        result |= print_steps(sides, titles, "plain", only_json=only_json)
    print_report(rows, result, only_json=only_json)


def measure(home: Path, *, plain: bool) -> tuple[Round, Start | None]:
    """Start one session, wait until it is ready, and end it; then vLLM alone."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        staged_root = stage_session(folder)
        noted = put_shim_before_vllm(staged_root, folder)
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LLM_HOSTER_HOST": "127.0.0.1"}
        with (folder / "output.log").open("wb") as log:
            began = time.time()
            session = subprocess.Popen(  # noqa: S603 - the script that was just staged
                [str(staged_root / "script.sh")], cwd=staged_root, env=environment, stdout=log, stderr=log
            )
        try:
            done = watch(session, staged_root, noted, began)
        except TimeoutError as error:
            raise click.ClickException(f"{error}\n{(folder / 'output.log').read_text()}") from error
        finally:
            session.send_signal(signal.SIGTERM)
            session.wait()
        return done, start_alone(noted) if plain else None


def start_alone(noted: Path) -> Start:
    """Start what the session has started, with sockets elsewhere."""
    program, *arguments = split(noted.with_name(f"{noted.name}.arguments"))
    environment = dict(variable.split("=", 1) for variable in split(noted.with_name(f"{noted.name}.environment")))
    with tempfile.TemporaryDirectory(prefix="llmb-", dir="/tmp") as name:
        if arguments[1].startswith("./"):  # A link beside the session's sockets, by which compiled code is kept.
            (Path(name) / arguments[1]).symlink_to(noted.with_name(f"{noted.name}.model").read_text().strip())
        socket_at = arguments.index("--uds") + 1
        arguments[socket_at] = f"{name}/vllm.sock"
        environment |= dict.fromkeys(("TMPDIR", "VLLM_RPC_BASE_PATH"), name)
        return start_vllm([program, *arguments], environment, Path(name))


def split(path: Path) -> list[str]:
    return path.read_text().rstrip("\0").split("\0")


def stage_session(folder: Path) -> Path:
    """Do what portal and before.sh do: the staged files and the secret."""
    app = BatchApp.from_folder(make_app(folder / "app"), "sys/llm_hoster")
    staged_root = folder / "staged"
    session = {"id": "bench", "app_root": str(app.root), "staged_root": str(staged_root)}
    stage(app.root / "template", staged_root, app.user_defined(app.context()), app.context(), session)
    secret = staged_root / "secret"
    secret.write_text("s" * 32)
    secret.chmod(0o600)
    return staged_root


def put_shim_before_vllm(staged_root: Path, folder: Path) -> Path:
    """Name a small program as the engine, which notes the time and becomes vLLM; return the file it writes."""
    document = json.loads((staged_root / "session.json").read_text())
    noted = folder / "vllm-exec"
    for engine in document["catalogue"]["engines"]:
        program = folder / "engine" / "bin" / "vllm"
        program.parent.mkdir(parents=True)
        program.write_text(SHIM.format(noted=noted, vllm=Path(engine["target"]) / "bin" / "vllm"))
        program.chmod(0o755)
        engine["target"] = str(folder / "engine")
    (staged_root / "session.json").write_text(json.dumps(document))
    return noted


def watch(session: subprocess.Popen[bytes], staged_root: Path, noted: Path, began: float) -> Round:
    """Note each moment as it comes; raise TimeoutError when one does not."""
    port_file = staged_root / "port"
    wait_until(port_file.exists, session, "the login page")
    page = http.client.HTTPConnection("127.0.0.1", int(port_file.read_text()), timeout=30)
    page.request("GET", "/")
    body = page.getresponse().read()
    login_page_s = time.time() - began
    if b'name="password"' not in body:
        raise TimeoutError(f"the first page is no login page: {body[:200]!r}")
    settings = find_settings(int(port_file.read_text()))
    probe = HealthProbe(settings.parent / "vllm.sock")
    state_file = settings.parent / "state.json"
    wait_until(lambda: json.loads(state_file.read_text())["state"] != "starting", session, "vLLM")
    state = json.loads(state_file.read_text())
    if state["state"] != "ready":
        raise TimeoutError(f"vLLM did not start: {state['cause']}")
    healthy_at = probe.wait()
    return Round(
        login_page_s=login_page_s,
        engine_exec_s=float(noted.read_text()) - began,
        # Seeing it first is possible: two clients ask, and either may come a moment earlier.
        healthy_to_ready_s=max(0.0, state["ready_at"] - healthy_at),
        engine_ready_s=state["ready_at"] - began,
        steps={step["name"]: step["seconds"] or 0.0 for step in state["steps"]},
    )


def wait_until(has_come: Callable[[], bool], session: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not has_come():
        if session.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(f"The session ended, or {READY_TIMEOUT_S:.0f} s passed, before {what} was up.")
        time.sleep(POLL_S)


def find_settings(port: int) -> Path:
    for path in Path(tempfile.gettempdir()).glob("llmh-*/settings.json"):
        if json.loads(path.read_text())["port"] == port:
            return path
    raise TimeoutError(f"no runtime folder has port {port}")


class HealthProbe(threading.Thread):
    """Ask vLLM's socket from a thread until it answers 200."""

    def __init__(self, socket_path: Path) -> None:
        super().__init__(daemon=True)
        self._socket_path = socket_path
        self._healthy_at = 0.0
        self.start()

    def wait(self) -> float:
        """Return the Unix time of the first 200."""
        self.join(timeout=10)
        if not self._healthy_at:
            raise TimeoutError("the probe never saw vLLM healthy")
        return self._healthy_at

    def run(self) -> None:
        while not self._healthy_at:
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(10)
                    connection.connect(str(self._socket_path))
                    connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                    if connection.recv(64).split(b" ")[1:2] == [b"200"]:
                        self._healthy_at = time.time()
            except OSError:
                pass
            time.sleep(HEALTH_POLL_S)


if __name__ == "__main__":
    startup()

"""What the bench compares, each started as its own makers say: address and first process of each."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import click
import requests

from bench.bare_proxy import SOCKET_VARIABLE
from llm_hoster.engine.record.state import ServedModel, State, write_state
from llm_hoster.settings import SETTINGS_VARIABLE, WebSettings

REPOSITORY = Path(__file__).resolve().parent.parent
PEERS = REPOSITORY / ".venv" / "bench"
# The versions that docs/decisions/gateway-speed.md speaks of, from PyPI.
REQUIREMENTS = {"litellm": "litellm[proxy]==1.106.2", "vllm_router": "vllm-router==0.1.17"}
START_TIMEOUT_S = 120.0
THREADS = 256


@dataclass(frozen=True)
class Place:
    """Where the upstream listens, the key of the proxies, and a folder of this run for what they write."""

    socket_path: Path
    port: int
    folder: Path
    api_key: str = field(default_factory=lambda: f"sk-{secrets.token_hex(16)}", repr=False)
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)


@dataclass(frozen=True)
class Proxy:
    """`address` is a port, or the path of a socket; `pid` is None where there is nothing to measure."""

    address: str
    pid: int | None


Starter = Callable[[Place], AbstractContextManager[Proxy]]


@contextlib.contextmanager
def direct(place: Place) -> Iterator[Proxy]:
    yield Proxy(str(place.socket_path), None)


@contextlib.contextmanager
def gateway(place: Place) -> Iterator[Proxy]:
    """Start our own, with gunicorn's configuration of every session."""
    runtime_dir = place.folder / "session"
    runtime_dir.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = make_settings(place, runtime_dir, port)
        state = State("ready", time.time(), time.time(), str(runtime_dir / "vllm.log"), ServedModel("tiny", "Tiny"))
        write_state(settings.state_path, state)
        settings.socket_path.unlink(missing_ok=True)
        settings.socket_path.symlink_to(place.socket_path)
        settings_path = runtime_dir / "settings.json"
        settings_path.unlink(missing_ok=True)
        settings.write(settings_path)
        config = REPOSITORY / "webapp" / "llm_hoster" / "gunicorn_conf.py"
        arguments = ["--config", str(config), "--bind", f"fd://{listener.fileno()}", "llm_hoster.web:create_app()"]
        command = [sys.executable, "-m", "gunicorn", *arguments]
        environment = {SETTINGS_VARIABLE: str(settings_path), "PYTHONPATH": f"{REPOSITORY / 'webapp'}:{REPOSITORY}"}
        with running(place, "gateway", command, environment, port, pass_fd=listener.fileno()) as proxy:
            yield proxy


def make_settings(place: Place, runtime_dir: Path, port: int) -> WebSettings:
    now = time.time()
    return WebSettings(
        host="127.0.0.1",
        port=port,
        runtime_dir=runtime_dir,
        staged_root=runtime_dir,
        data_dir=runtime_dir / "data",
        session_id="bench",
        secret_sha256=hashlib.sha256(place.secret.encode()).hexdigest(),
        secret_key=secrets.token_hex(32),
        api_key=place.api_key,
        served_model_name="tiny",
        model_title="Tiny",
        gpu_title="No GPU",
        started_at=now,
        ends_at=now + 24 * 3600,
        su_per_hour=1.0,
        base_url=f"http://127.0.0.1:{port}/v1",
        endpoint_file=runtime_dir / "endpoint.json",
    )


@contextlib.contextmanager
def urllib3(place: Place) -> Iterator[Proxy]:
    """Start the bare proxy, in as many threads as ours."""
    port = free_port()
    arguments = ["--worker-class", "gthread", "--threads", str(THREADS), "--bind", f"127.0.0.1:{port}"]
    arguments += ["--worker-tmp-dir", "/dev/shm", "--no-control-socket"]  # noqa: S108 - as ours; gunicorn unlinks it
    command = [sys.executable, "-m", "gunicorn", *arguments, "bench.bare_proxy:create_app()"]
    environment = {
        SOCKET_VARIABLE: str(place.socket_path),
        "PYTHONPATH": f"{REPOSITORY / 'webapp'}:{REPOSITORY}",
    }
    with running(place, "urllib3", command, environment, port) as proxy:
        yield proxy


@contextlib.contextmanager
def litellm(place: Place) -> Iterator[Proxy]:
    """Start LiteLLM's proxy with one worker, as its documentation starts it."""
    port = free_port()
    config = place.folder / "litellm.yaml"
    config.write_text(
        "model_list:\n- model_name: tiny\n  litellm_params:\n    model: hosted_vllm/tiny\n"
        f"    api_base: http://127.0.0.1:{place.port}/v1\n    api_key: none\n"
        "general_settings:\n  master_key: os.environ/LITELLM_MASTER_KEY\n"
        "litellm_settings:\n  telemetry: false\n"
    )
    program = PEERS / "litellm" / "bin" / "litellm"
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {"LITELLM_MASTER_KEY": place.api_key, "LITELLM_LOG": "ERROR", "NO_DOCS": "True"}
    environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    with running(place, "litellm", command, environment, port) as proxy:
        yield proxy


@contextlib.contextmanager
def vllm_router(place: Place) -> Iterator[Proxy]:
    port = free_port()
    command = [str(PEERS / "vllm_router" / "bin" / "vllm-router"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--worker-urls", f"http://127.0.0.1:{place.port}", "--prometheus-port", str(free_port())]
    with running(place, "vllm_router", command, {}, port) as proxy:
        yield proxy


STARTERS: Mapping[str, Starter] = {
    "direct": direct,
    "gateway": gateway,
    "urllib3": urllib3,
    "litellm": litellm,
    "vllm_router": vllm_router,
}


def is_installed(name: str) -> bool:
    return name not in REQUIREMENTS or (PEERS / name / "installed").exists()


def install_peers() -> None:
    for name, requirement in REQUIREMENTS.items():
        install(name, requirement)


def install(name: str, *requirements: str) -> None:
    """Give it a venv of its own below .venv/bench/, where it has none."""
    venv = PEERS / name
    if (venv / "installed").exists():
        return
    click.echo(f"installing {' '.join(requirements)}", err=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)  # noqa: S603
    pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *requirements]
    subprocess.run(pip, check=True, stdout=sys.stderr)  # noqa: S603
    (venv / "installed").touch()


@contextlib.contextmanager
def running(
    place: Place,
    name: str,
    command: list[str],
    environment: Mapping[str, str],
    port: int,
    *,
    pass_fd: int | None = None,
) -> Iterator[Proxy]:
    """Give the proxy when it answers a question; end it and what it has started afterwards."""
    log_path = place.folder / f"{name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - from the list above
            command,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=() if pass_fd is None else (pass_fd,),
        )
    try:
        wait_for_answer(place, port, process, log_path)
        yield Proxy(str(port), process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_answer(place: Place, port: int, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(place, port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise click.ClickException(f"It does not answer:\n{log_path.read_text()[-3000:]}")
        time.sleep(0.1)


def _answers(place: Place, port: int) -> bool:
    question = {"model": "tiny", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 2}
    headers = {"Authorization": f"Bearer {place.api_key}"}
    try:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        return requests.post(url, json=question, headers=headers, timeout=10).ok
    except requests.RequestException:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

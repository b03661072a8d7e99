"""Fixtures for the web app: settings of a made-up session, and real gunicorns that serve one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from llm_hoster import gunicorn_conf
from llm_hoster.engine.record.state import ServedModel, State, Step, write_state
from llm_hoster.settings import SETTINGS_VARIABLE, WebSettings
from llm_hoster.usage.recorder import Recorder
from llm_hoster.usage.store import SessionFacts
from llm_hoster.web import create_app

PASSWORD = "p" * 32
API_KEY = "sk-llmh-" + "a" * 32
HOST = "c3gpu-a1.example.org"
PORTAL = "portal.example.org"

MakeSettings = Callable[..., WebSettings]
MakeClient = Callable[..., FlaskClient]


def ready_state(**changes: Any) -> State:
    values: dict[str, Any] = {"state": "ready", "since": 1.0, "started_at": 1.0, "log": "/staged/vllm.log"}
    values["model"] = ServedModel("tiny", "Tiny model")
    return State(**values | changes)


def starting_state() -> State:
    steps = (Step("start", "Starting vLLM", 12.0, "done"), Step("weights", "Reading the weights", 3.0, "running"))
    return ready_state(state="starting", steps=steps)


@pytest.fixture
def make_settings(tmp_path: Path, short_dir: Path) -> MakeSettings:
    """Make a session's settings; `state` is written for it, `engine` is the socket that its engine has."""

    def make(*, state: State | None = None, engine: Path | None = None, **changes: Any) -> WebSettings:
        now = time.time()
        values: dict[str, Any] = {
            "host": HOST, "port": 8080, "runtime_dir": short_dir, "staged_root": tmp_path,
            "data_dir": tmp_path / "data", "session_id": "session-1",
            "secret_sha256": hashlib.sha256(PASSWORD.encode()).hexdigest(),
            "secret_key": "k" * 64, "api_key": API_KEY, "served_model_name": "tiny", "model_title": "Tiny model",
            "gpu_title": "No GPU", "started_at": now - 3600, "ends_at": now + 3 * 3600 + 30, "su_per_hour": 108.6,
            "base_url": f"http://{HOST}:8080/v1", "endpoint_file": tmp_path / "endpoint.json",
        }  # fmt: skip
        settings = WebSettings(**values | changes)
        write_state(settings.state_path, state or ready_state())
        if engine is not None:
            settings.socket_path.symlink_to(engine)
        return settings

    return make


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """The record of requests of a session that runs, beside any web app."""
    facts = SessionFacts("session-1", "Tiny model", str(tmp_path), time.time() - 3600, 100.0)
    with contextlib.closing(Recorder(tmp_path / "usage", facts)) as recorder:
        yield recorder


@pytest.fixture
def make_client(make_settings: MakeSettings) -> Iterator[MakeClient]:
    """Make a client of an app in this process, logged in unless told otherwise."""
    apps = []

    def make(*, is_logged_in: bool = True, **changes: Any) -> FlaskClient:
        app = create_app(make_settings(**changes))
        apps.append(app)
        client = app.test_client()
        if is_logged_in:
            assert client.post("/login", data={"password": PASSWORD}).status_code == 303
        return client

    yield make
    for app in apps:
        app.extensions["llm_hoster"]["store"].close()
        app.extensions["llm_hoster"]["recorder"].close()


@dataclass
class WebServer:
    """A gunicorn of its own process, run with the configuration that sessions run with."""

    settings: WebSettings
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def browser(self) -> requests.Session:
        """Log in as the owner does."""
        session = requests.Session()
        assert session.post(f"{self.url}/login", data={"password": PASSWORD}).status_code == 200
        return session

    def api(self, path: str, *, timeout_s: float = 60.0, **arguments: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
        return requests.post(f"{self.url}{path}", headers=headers, timeout=timeout_s, **arguments)

    def kill(self) -> None:
        """Kill the master and its worker as the kernel does at a job's end: without a word to either."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def make_server(make_settings: MakeSettings, tmp_path: Path) -> Iterator[Callable[..., WebServer]]:
    servers: list[WebServer] = []

    def make(**changes: Any) -> WebServer:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            settings = make_settings(host="127.0.0.1", port=port, base_url=f"http://127.0.0.1:{port}/v1", **changes)
            servers.append(WebServer(settings, start_gunicorn(settings, listener, tmp_path)))
        assert requests.get(f"{servers[-1].url}/healthz", timeout=30).status_code == 204
        return servers[-1]

    yield make
    for server in servers:
        server.process.send_signal(signal.SIGQUIT)  # gunicorn's word for: at once
    for server in servers:
        server.process.wait(30)


def start_gunicorn(settings: WebSettings, listener: socket.socket, folder: Path) -> subprocess.Popen[bytes]:
    settings_path = folder / f"settings-{uuid.uuid4().hex}.json"
    settings.write(settings_path)
    descriptor = listener.fileno()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        str(gunicorn_conf.__file__),
        "--bind",
        f"fd://{descriptor}",
    ]
    package_root = str(Path(gunicorn_conf.__file__).resolve().parent.parent)
    environment = os.environ | {SETTINGS_VARIABLE: str(settings_path), "PYTHONPATH": package_root}
    with (folder / "web.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "llm_hoster.web:create_app()"],
            env=environment, pass_fds=[descriptor], stdout=log, stderr=log,
        )  # fmt: skip

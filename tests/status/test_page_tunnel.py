"""The tunnel of the Connect panel through a real sshd, and the panel's lines at the end of it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_hoster.engine.record.state import ServedModel
from llm_hoster.settings import WebSettings
from llm_hoster.status.location import COMPUTER
from llm_hoster.status.snippet import snippet
from llm_hoster.status.tunnel import owner_name, tunnel_of
from tests.conftest import MakeCatalogue
from tests.live_engine import LiveEngine, wait_for
from tests.tunnel_command.ssh_server import SshServer, ssh_server
from tests.web_session import API_KEY, MakeSettings, start_gunicorn

__all__ = ["ssh_server"]

pytestmark = pytest.mark.engine

# The tunnel has the session's own port, and all is on this machine.
NODE = "127.0.0.2"
GREETING = "Hello! I am the tiny model of LLM Hoster."


@pytest.fixture
def settings(
    make_settings: MakeSettings, live_engine: LiveEngine, make_catalogue: MakeCatalogue, tmp_path: Path
) -> Iterator[WebSettings]:
    """A session on another address, of a site whose login node is called `login`."""
    context = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
    catalogue = make_catalogue(site={"login_host": "login"})
    (tmp_path / "session.json").write_text(json.dumps({"context": context, "catalogue": catalogue}))
    with socket.create_server((NODE, 0)) as listener:
        port = listener.getsockname()[1]
        settings = make_settings(
            host=NODE, port=port, base_url=f"http://{NODE}:{port}/v1", engine=live_engine.socket_path
        )
        process = start_gunicorn(settings, listener, tmp_path)
    yield settings
    process.send_signal(signal.SIGQUIT)
    process.wait(30)


def test_the_line_of_the_page_leads_to_the_session(settings: WebSettings, ssh_server: SshServer) -> None:
    line = tunnel_of(settings, owner_name()).ssh_line
    command = [*shlex.split(ssh_server.ssh), *shlex.split(line)[1:]]
    asked = snippet("curl", settings, ServedModel("tiny", "Tiny model"), COMPUTER)

    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as tunnel:
        wait_for(lambda: is_open(settings.port), "the tunnel is open", timeout_s=30)
        said = subprocess.run(
            ["sh", "-c", asked], capture_output=True, text=True, timeout=60,
            env={"PATH": os.environ["PATH"], "LLM_HOSTER_API_KEY": API_KEY},
        )  # fmt: skip
        tunnel.terminate()

    assert GREETING in said.stdout, said.stderr


def test_a_port_that_is_taken_ends_it(settings: WebSettings, ssh_server: SshServer) -> None:
    line = tunnel_of(settings, owner_name()).ssh_line
    command = [*shlex.split(ssh_server.ssh), *shlex.split(line)[1:]]

    with socket.create_server(("127.0.0.1", settings.port)):
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)

    assert ended.returncode != 0
    assert "Could not request local forwarding" in ended.stderr


def is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0

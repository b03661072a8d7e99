"""`llm-hoster tunnel` through a real sshd, with its ssh killed, its server gone, and its session on the move."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_hoster.client import connect
from tests.chat_command.terminal import CTRL_C, Terminal
from tests.client.small_session import SmallSession, make_session, models_of
from tests.live_engine import wait_for
from tests.tunnel_command.ssh_server import SshServer, ssh_server
from tests.web_session import API_KEY

__all__ = ["make_session", "ssh_server"]

MakeSession = Callable[..., SmallSession]
WEBAPP = Path(__file__).resolve().parent.parent.parent / "webapp"
NOT_ENDED = {"reason": "", "ended_at": None}


def stage(output: Path, name: str, session: SmallSession | None) -> Path:
    folder = output / name
    folder.mkdir(parents=True)
    (folder / "session.json").write_text('{"context":{}}')
    (folder / "outcome.json").write_text(json.dumps(NOT_ENDED))
    if session is not None:
        session.write(folder / "endpoint.json")
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder of the cluster in which OnDemand stages sessions."""
    return tmp_path / "ood" / "batch_connect" / "sys" / "llm_hoster" / "output"


class TunnelProcess:
    """The command as a person starts it on a laptop, whose home folder has no sessions."""

    def __init__(self, folder: Path, ssh: str, *arguments: str) -> None:
        self._data = folder / "laptop"
        self._log = folder / f"tunnel-{uuid.uuid4().hex}.log"
        environment = os.environ | {"XDG_DATA_HOME": str(self._data), "HOME": str(folder), "PYTHONPATH": str(WEBAPP)}
        command = [sys.executable, "-m", "llm_hoster", "tunnel", "--ask-every", "0.3", "--ssh", ssh, *arguments]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def files(self) -> list[Path]:
        return sorted((self._data / "llm-hoster" / "tunnels").glob("*"))

    @property
    def ssh_pid(self) -> int:
        """Of the child that holds the login; questions come and go beside it."""
        for pid in self._children():
            if b"-M" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
        raise AssertionError("there is no ssh that holds the login")

    def _children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return list(map(int, path.read_text().split())) if path.exists() else []

    def wait_until_open(self, times: int = 1) -> Path:
        wait_for(lambda: self._is_open(times), f"it is open for the {times}. time", timeout_s=30)
        return self.files[0]

    def _is_open(self, times: int) -> bool:
        assert self.process.poll() is None, self.said
        return self.said.count("open: ") >= times

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def wait_for_end(self) -> int:
        return self.process.wait(30)


@pytest.fixture
def start(ssh_server: SshServer, tmp_path: Path) -> Iterator[Callable[..., TunnelProcess]]:
    tunnels: list[TunnelProcess] = []

    def make(*arguments: str, host: str = "login") -> TunnelProcess:
        tunnels.append(TunnelProcess(tmp_path, ssh_server.ssh, "--host", host, *arguments))
        return tunnels[-1]

    yield make
    for tunnel in tunnels:
        if tunnel.process.poll() is None:
            tunnel.end()


def models(path: Path) -> list[str]:
    with connect(path) as client:
        return client.models()


def test_from_its_beginning_to_ctrl_c(
    start: Callable[..., TunnelProcess], output: Path, make_session: MakeSession
) -> None:
    stage(output, "older", None)
    session = make_session()
    stage(output, "3f0c-1", session)
    tunnel = start()
    path = tunnel.wait_until_open()

    assert models(path) == ["tiny"]
    assert (path.name, stat.S_IMODE(path.stat().st_mode)) == ("3f0c-1.json", 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    port = json.loads(path.read_text())["base_url"].removeprefix("http://127.0.0.1:").removesuffix("/v1")
    node = session.base_url.removeprefix("http://").removesuffix("/v1")
    assert f"-L 127.0.0.1:{port}:{node} login\n" in tunnel.said
    assert f"export LLM_HOSTER_ENDPOINT={path}" in tunnel.said
    ssh = tunnel.ssh_pid
    shown = tunnel.said.encode() + b"".join(
        Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (tunnel.process.pid, ssh)
    )
    assert API_KEY.encode() not in shown

    assert tunnel.end() == 0
    assert tunnel.said.endswith("closed\n")
    assert tunnel.files == []
    assert not Path(f"/proc/{ssh}").exists()
    with socket.socket() as connection:
        assert connection.connect_ex(("127.0.0.1", int(port))) != 0


def test_in_a_terminal_its_state_is_one_line_and_ctrl_c_ends_it_with_its_ssh(
    ssh_server: SshServer, output: Path, make_session: MakeSession, tmp_path: Path
) -> None:
    """Ctrl-C reaches all that runs in the terminal's foreground."""
    stage(output, "3f0c-1", make_session())
    environment = {"XDG_DATA_HOME": str(tmp_path / "laptop"), "HOME": str(tmp_path)}
    terminal = Terminal(
        "tunnel", "--host", "login", "--ssh", ssh_server.ssh, environment=environment, cwd=tmp_path
    )  # fmt: skip
    try:
        terminal.wait_for("open: http://127.0.0.1:")
        terminal.type(CTRL_C)
        terminal.wait_for("closed")
        assert terminal.wait_for_end() == 0
    finally:
        terminal.close()
    assert "\r\x1b[Kclosed" in terminal.raw
    assert list((tmp_path / "laptop" / "llm-hoster" / "tunnels").iterdir()) == []


def test_it_comes_back_when_its_ssh_is_killed_and_when_the_login_node_was_away(
    start: Callable[..., TunnelProcess], output: Path, make_session: MakeSession, ssh_server: SshServer
) -> None:
    stage(output, "3f0c-1", make_session())
    tunnel = start("3f0c")
    path = tunnel.wait_until_open()
    before = path.read_text()
    os.kill(tunnel.ssh_pid, signal.SIGKILL)
    tunnel.wait_until_open(2)
    assert models(path) == ["tiny"]

    ssh_server.stop()
    os.kill(tunnel.ssh_pid, signal.SIGKILL)
    wait_for(lambda: "trying again in 2 s" in tunnel.said, "a second try", timeout_s=30)
    ssh_server.start()
    tunnel.wait_until_open(3)
    assert models(path) == ["tiny"]
    assert path.read_text() == before
    assert tunnel.end(signal.SIGTERM) == 0
    assert tunnel.files == []


def test_it_follows_the_session_to_its_next_node_and_ends_with_it(
    start: Callable[..., TunnelProcess], output: Path, make_session: MakeSession
) -> None:
    first, second, third = (make_session(models_of(name), key=f"sk-{name}") for name in ("first", "second", "third"))
    folder = stage(output, "3f0c-1", first)
    tunnel = start("3f0c-1")
    path = tunnel.wait_until_open()
    with connect(path) as client:
        assert client.models() == ["first"]
        second.write(folder / "endpoint.json", "second")  # The next session in a row does so when it takes over.
        tunnel.wait_until_open(2)
        assert (client.model, client.models()) == ("second", ["second"])

        # The first folder is not written any more once that session and its successor have ended.
        next_folder = stage(output, "3f0c-1-2", third)
        (folder / "successor.json").write_text(json.dumps({"folder": str(next_folder)}))
        (folder / "outcome.json").write_text(json.dumps({"reason": "The time limit was reached.", "ended_at": 1.0}))
        tunnel.wait_until_open(3)
        assert client.models() == ["third"]
    (next_folder / "outcome.json").write_text(json.dumps({"reason": "It was \x1b[31mstopped.", "ended_at": 2.0}))
    assert tunnel.wait_for_end() == 0
    assert tunnel.said.endswith("closed: It was  [31mstopped.\n")
    assert tunnel.files == []


def test_what_it_cannot_do_is_said_in_a_sentence(
    start: Callable[..., TunnelProcess], output: Path, make_session: MakeSession
) -> None:
    stage(output, "3f0c-1", make_session())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        both = [start("3f0c", "--port", str(taken.getsockname()[1])), start("47")]
        assert [tunnel.wait_for_end() for tunnel in both] == [1, 3]
    assert "of this machine. Try another --port." in both[0].said
    assert both[1].said.endswith("llm-hoster: There is no session or job '47' on that machine.\n")
    assert both[0].files == []


def test_hosts_that_are_none(start: Callable[..., TunnelProcess], ssh_server: SshServer) -> None:
    option = start("--port", "8999", host="-oProxyCommand=touch x")
    assert option.wait_for_end() == 1
    assert "is no name of a login node" in option.said

    ssh_server.stop()
    away = start()
    assert away.wait_for_end() == 1
    assert "Connection refused" in away.said  # ssh's own words
    assert "ssh could not log in; its own words are above." in away.said
    ssh_server.start()


def test_a_session_that_waits_is_waited_for_and_a_hostile_file_is_no_address(
    start: Callable[..., TunnelProcess], output: Path, make_session: MakeSession
) -> None:
    folder = stage(output, "3f0c-1", None)
    hostile = {"base_url": "http://-oProxyCommand=x:1/v1", "api_key": "k", "model": "tiny"}
    (folder / "endpoint.json").write_text(json.dumps(hostile))
    tunnel = start("3f0c")
    wait_for(lambda: "has no address yet" in tunnel.said, "it waits", timeout_s=30)
    make_session().write(folder / "endpoint.json")
    assert models(tunnel.wait_until_open()) == ["tiny"]


def test_on_the_cluster_the_line_for_the_laptop_is_printed(
    output: Path, make_session: MakeSession, tmp_path: Path
) -> None:
    session = make_session()
    folder = stage(output, "3f0c-1", session)
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(WEBAPP)}
    command = [sys.executable, "-m", "llm_hoster", "tunnel"]
    done = subprocess.run([*command, str(folder)], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert session.base_url in done.stdout
    assert f"-L 127.0.0.1:8000:{session.base_url[7:-3]} " in done.stdout

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 3
    assert "Name the login node of the cluster with --host" in done.stderr

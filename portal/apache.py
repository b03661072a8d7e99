"""Apache httpd as OnDemand's front door: Basic auth, the dashboard under /pun, the nodes under /node and /rnode."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from portal.debian_package import find_program
from portal.httpd import ApacheError, find_httpd, unprivileged_account

HERE = Path(__file__).parent
START_TIMEOUT_S = 15.0


@dataclass
class Apache:
    """`folder` is httpd's own: configuration, logs, passwords. `prefix` goes before the command, such as nsenter's."""

    folder: Path
    dashboard_socket: Path
    address: str = "127.0.0.1"
    port: int = 0
    server_name: str = "127.0.0.1"
    host_regex: str = "[^/]+"
    timeout_s: int = 60
    prefix: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.server_name}:{self.port}"

    def write(self, users: Mapping[str, str]) -> None:
        """Write the configuration and the passwords (hashed), readable by httpd alone."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = self.port or free_port(self.address)
        environment = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=False)  # noqa: S701 - no HTML
        text = environment.get_template("httpd.conf").render(
            folder=self.folder,
            dashboard_socket=self.dashboard_socket,
            address=self.address,
            port=self.port,
            server_name=self.server_name,
            host_regex=self.host_regex,
            timeout_s=self.timeout_s,
            modules=find_httpd().modules,
        )
        (self.folder / "httpd.conf").write_text(text)
        shutil.copy(HERE / "proxy.lua", self.folder)
        passwords = "".join(hashed_line(user, password) for user, password in users.items())
        (self.folder / "users").touch(mode=0o600)
        (self.folder / "users").write_text(passwords)
        if os.getuid() == 0:
            hand_over(self.folder)

    def start(self) -> None:
        """Start httpd and wait until it answers; raise ApacheError if it does not."""
        command = [*self.prefix, *unprivileged(), str(find_httpd().program), "-f"]
        command += [str(self.folder / "httpd.conf"), "-DFOREGROUND"]
        with (self.folder / "stderr.log").open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own configuration
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.folder / "httpd.pid").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ApacheError(self.last_words())
            time.sleep(0.02)

    def last_words(self) -> str:
        logs = [self.folder / name for name in ("stderr.log", "error.log")]
        said = "".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())
        return f"Apache httpd did not start: {said}"

    def stop(self) -> None:
        """End httpd and its children, streams that are under way included."""
        if self.process is None or self.process.poll() is not None:
            return
        # Its process group, because under a prefix the process is nsenter and httpd its child.
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def free_port(address: str) -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def hashed_line(user: str, password: str) -> str:
    """Return htpasswd's line for the user; the password goes to its stdin, not on its command line."""
    done = subprocess.run(  # noqa: S603 - a list, no shell
        [find_program("htpasswd"), "-niB", user],
        input=password.encode(),
        capture_output=True,
        check=True,
    )
    return f"{done.stdout.decode().strip()}\n"


def unprivileged() -> list[str]:
    """Return what lets a command drop root's rights; httpd refuses to serve as root."""
    if os.getuid() != 0:
        return []
    account = unprivileged_account()
    return [find_program("setpriv"), f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


def hand_over(folder: Path) -> None:
    """Give the folder and what is in it to httpd's user."""
    account = unprivileged_account()
    for path in (folder, *folder.iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid)

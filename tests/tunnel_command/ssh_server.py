"""A real sshd on a high port with keys of its own, and an ssh that knows it as `login`."""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_engine import wait_for

SSHD = "/usr/sbin/sshd"
# sshd wants this folder where root starts it; in a mount namespace of its own it is nobody else's.
AS_ROOT = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec "$@"', "sh"]


class SshServer:
    """`ssh` is the command of somebody who may log in. The sessions are in `data_root`."""

    def __init__(self, folder: Path, data_root: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        for name in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        host_key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self._port} {host_key}")
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self._port}\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/user_key.pub\nStrictModes no\nPasswordAuthentication no\n"
            f"PermitRootLogin prohibit-password\nSetEnv OOD_DATAROOT={data_root}\n"
        )
        (folder / "ssh_config").write_text(
            f"Host login\n  HostName 127.0.0.1\n  Port {self._port}\n  User {pwd.getpwuid(os.getuid()).pw_name}\n"
            f"  IdentityFile {folder}/user_key\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\n"
        )
        self.ssh = f"ssh -F {shlex.quote(str(folder / 'ssh_config'))}"
        self.start()

    def start(self) -> None:
        command = [SSHD, "-D", "-e", "-f", str(self._folder / "sshd_config")]
        with (self._folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*(AS_ROOT if os.geteuid() == 0 else []), *command], stdout=log, stderr=log, start_new_session=True
            )
        wait_for(self._answers, f"sshd answers: {(self._folder / 'sshd.log').read_text()}")

    def stop(self) -> None:
        """No new logins, and those that are there end too."""
        os.killpg(self._process.pid, 15)
        self._process.wait(10)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "sshd.log").read_text()
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self._port)) == 0


@pytest.fixture
def ssh_server(tmp_path: Path) -> Iterator[SshServer]:
    folder = tmp_path / "ssh"
    folder.mkdir()
    server = SshServer(folder, tmp_path / "ood")
    yield server
    server.stop()

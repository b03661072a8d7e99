"""
One login on the login node, held by a child `ssh`; all else goes through its connection and asks for no password again.

ssh's own multiplexing does this (ControlMaster): the socket lies in a folder that nobody else can open.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from llm_hoster.errors import LLMHosterError

OPTIONS = {
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "ConnectTimeout": "20",
    "ControlPersist": "no",
}
# A question over the connection, and the end of the child.
ANSWER_TIMEOUT_S = 30.0
END_TIMEOUT_S = 5.0
POLL_S = 0.1


def ssh_line(route: str, host: str) -> str:
    """
    Give what a person types for a tunnel; `route` is what `ssh -L` takes.

    It fails where the port is taken, because the key would go to another program, and ends when the way is cut off.
    """
    options = ("ExitOnForwardFailure", "ServerAliveInterval")
    named = [word for name in options for word in ("-o", f"{name}={OPTIONS[name]}")]
    return shlex.join(["ssh", "-N", *named, "-L", route, host])


class SshConnection:
    """`command` is ssh and options of the person's own; `host` is as ssh takes it."""

    def __init__(self, command: Sequence[str], host: str) -> None:
        if not host or host.startswith("-"):
            raise LLMHosterError(f"{host!r} is no name of a login node.")
        self._command = list(command)
        self._host = host
        self._folder = Path(tempfile.mkdtemp(prefix="llmh-ssh-", dir="/tmp"))
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def is_up(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def open(self) -> bool:
        """Log in; ssh asks for a password on the terminal by itself. Say whether it has succeeded."""
        self.end_child()
        options = [f"-o{name}={value}" for name, value in OPTIONS.items()]
        arguments = [*self._command, *options, "-M", "-S", self._socket, "-N", "-T", "--", self._host]
        try:
            self._child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)  # noqa: S603 - the person's own ssh
        except OSError as error:
            raise LLMHosterError(f"{self._command[0]} cannot be started: {error.strerror}.") from error
        while self.is_up:
            if Path(self._socket).exists() and self._control("check"):
                return True
            time.sleep(POLL_S)
        return False

    def ask(self, script: str) -> str:
        """Let the login node run lines of sh, and give what they print; nothing where it does not answer in time."""
        arguments = [*self._command, "-S", self._socket, "-oControlMaster=no", "-oBatchMode=yes", "-T", "--"]
        try:
            done = subprocess.run(  # noqa: S603 - the person's own ssh
                [*arguments, self._host, "sh -s"], input=script, text=True, errors="replace", timeout=ANSWER_TIMEOUT_S,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except (subprocess.TimeoutExpired, OSError):
            return ""
        return done.stdout

    def forward(self, route: str) -> bool:
        """Say whether it is there; `route` is as behind `ssh -L`."""
        return self._control("forward", "-L", route)

    def cancel(self, route: str) -> None:
        self._control("cancel", "-L", route)

    def end_child(self) -> None:
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None
        Path(self._socket).unlink(missing_ok=True)

    def close(self) -> None:
        self.end_child()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _socket(self) -> str:
        return str(self._folder / "s")

    def _control(self, order: str, *options: str) -> bool:
        arguments = [*self._command, "-S", self._socket, "-O", order, *options, "--", self._host]
        try:
            done = subprocess.run(  # noqa: S603 - the person's own ssh
                arguments, capture_output=True, timeout=ANSWER_TIMEOUT_S, check=False
            )
        except (subprocess.TimeoutExpired, OSError):
            return False
        return done.returncode == 0

"""A program in a terminal of its own: a real pseudo-terminal, what is typed and what is shown."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

WEBAPP = Path(__file__).resolve().parent.parent.parent / "webapp"
# What colours and moves; the rest is what a person reads.
SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[=>78]|\x1b\][^\x07]*\x07")
PROMPT = "\x1b[?2004h"  # Only a prompt takes pasted texts apart from typed ones.
CTRL_C, CTRL_D, ENTER, ALT_ENTER = "\x03", "\x04", "\r", "\x1b\r"


class Terminal:
    def __init__(self, *arguments: str, environment: Mapping[str, str], cwd: Path, lines: int = 24) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 80, 0, 0))
        self._master = master
        self.raw = ""
        self._seen = 0
        self._prompts = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llm_hoster", *arguments], stdin=slave, stdout=slave, stderr=slave, cwd=cwd,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=os.environ | {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHONPATH": str(WEBAPP),
                              **environment},
        )  # fmt: skip
        os.close(slave)

    @property
    def shown(self) -> str:
        """All that was shown, without colours; a line's end is one."""
        return SEQUENCE.sub("", self.raw).replace("\r", "")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def answer_prompt(self, text: str, *, timeout_s: float = 20.0) -> None:
        """Wait for the next prompt and type: what comes earlier is not a key's press but a text."""
        deadline = time.monotonic() + timeout_s
        self._prompts += 1
        while self.raw.count(PROMPT) < self._prompts:
            assert time.monotonic() < deadline, f"no prompt within {timeout_s} s after {self.shown[-500:]!r}"
            assert self._read(), f"it has ended without a prompt: {self.shown[-500:]!r}"
        self.type(text)

    def wait_for(self, text: str, *, timeout_s: float = 20.0) -> str:
        """Give what was shown since the last wait, up to the text."""
        deadline = time.monotonic() + timeout_s
        while (found := self.shown.find(text, self._seen)) < 0:
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {text!r} in {self.shown[self._seen :]!r}"
            assert self._read(), f"it has ended without {text!r}: {self.shown[self._seen :]!r}"
        begin, self._seen = self._seen, found + len(text)
        return self.shown[begin : self._seen]

    def wait_for_end(self, *, timeout_s: float = 20.0) -> int:
        deadline = time.monotonic() + timeout_s
        while self._read():
            assert time.monotonic() < deadline, f"it does not end: {self.shown[-500:]!r}"
        return self.process.wait(5)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        """Say whether there may be more."""
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            new = os.read(self._master, 65536)
        except OSError:  # Nobody has the other end any more.
            return False
        self.raw += new.decode(errors="replace")
        return bool(new)

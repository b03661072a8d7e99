"""A child process with a session of its own, its output read line by line and kept in a log."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

KEPT_LINES = 2000
LOG_LIMIT_BYTES = 4 * 1024 * 1024
# It only finds out whether there is anybody.
NO_SIGNAL = 0
# tqdm redraws its bar with \r, and each of them is a line for us.
LINE_END = re.compile(rb"[\r\n]+")


class Child:
    """
    Start, read, signal and reap one process and its descendants.

    The process leads a session of its own, so that a signal to its group reaches what it started, and nothing else.
    """

    def __init__(
        self, name: str, *, log: Path, on_line: Callable[[str], None] | None = None, on_end: Callable[[], None]
    ) -> None:
        """`on_line` and `on_end` are called from threads of this object; `on_end` after the last line."""
        self.name = name
        self.log = log
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._on_line = on_line
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._is_gone = True

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], *, cwd: Path, pass_fds: Sequence[int] = ()
    ) -> None:
        """Raise OSError when there is no such program. One that has ended may be started again."""
        self.lines.clear()
        self._process = subprocess.Popen(  # noqa: S603 - a list, made by us
            command,
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        self._is_gone = False
        self._reader = threading.Thread(target=self._read, name=f"{self.name} output", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, name=f"{self.name} end", daemon=True).start()

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101 - start comes first
        return self._process.pid

    @property
    def return_code(self) -> int | None:
        """As Popen's: None while it runs, negative for a signal."""
        return None if self._process is None else self._process.returncode

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def signal_group(self, number: int) -> None:
        """Signal the process and all that it started, also when it has itself ended."""
        if self._process is None or self._is_gone:
            return
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # Nobody has the number any more, or another user.
            self._is_gone = not self.is_running

    def group_is_gone(self) -> bool:
        """
        Say whether all have ended.

        Ask now and then of one that has itself ended: once its group is gone another may get the number, and only who
        has seen it gone leaves that one alone.
        """
        if self._process is None or self._is_gone:
            return True
        if self._process.returncode is None:
            return False
        # Descendants that we have adopted stay in the group as zombies until somebody takes their status.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-self._process.pid, os.WNOHANG)[0]:
                pass
        self.signal_group(NO_SIGNAL)
        return self._is_gone

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None  # noqa: S101 - start comes first
        with BoundedLog(self.log) as log, self._process.stdout as stream:
            rest = b""
            while chunk := os.read(stream.fileno(), 65536):
                log.write(chunk)
                *lines, rest = LINE_END.split(rest + chunk)
                for line in lines:
                    self._take(line)
            self._take(rest)

    def _take(self, line: bytes) -> None:
        if line.strip():
            text = line.decode(errors="replace")
            self.lines.append(text)
            if self._on_line is not None:
                self._on_line(text)

    def _wait(self) -> None:
        assert self._process is not None and self._reader is not None  # noqa: S101 - start comes first
        self._process.wait()
        self.group_is_gone()
        # A descendant that holds the pipe must not delay the news.
        self._reader.join(timeout=0.5)
        self._on_end()


class BoundedLog:
    """Write to a file of the owner's alone; at its limit it becomes `.1` and a new one begins. A full disk is borne."""

    def __init__(self, path: Path, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._size = 0
        self._file: IO[bytes] | None = None

    def __enter__(self) -> BoundedLog:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, chunk: bytes) -> None:
        if self._size + len(chunk) > self._limit_bytes:
            self._close()
            with contextlib.suppress(OSError):  # The lines are in memory too, which decides what the page shows.
                os.replace(self._path, self._path.with_name(self._path.name + ".1"))
            self._open()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(chunk)
        self._size += len(chunk)

    def _open(self) -> None:
        """Go on where there is one: the end of a former run says why there is another."""
        self._size = 0
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "ab", buffering=0)
            self._size = os.fstat(descriptor).st_size

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

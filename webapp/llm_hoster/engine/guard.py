"""What must happen to the processes when the supervisor itself is killed, and to those that leave their group."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36

# It reads process groups until the supervisor ends, however that comes about: then the pipe closes. It ignores the
# signals that Slurm sends to all processes of a job at once, and a last line "done" sends it home.
GUARD_SCRIPT = """
trap '' TERM INT HUP
groups=
while read -r line; do
    [ "$line" = done ] && exit 0
    groups="$groups -$line"
done
# shellcheck disable=SC2086 # one word for each group
[ -n "$groups" ] && kill -s KILL -- $groups 2>/dev/null
rm -rf -- "$1"
"""


class Guard:
    """A small shell beside the supervisor that kills the children's groups and removes the folder if it is killed."""

    def __init__(self, runtime_dir: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - a list, made by us
            ["/bin/sh", "-c", GUARD_SCRIPT, "llm-hoster-guard", str(runtime_dir)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={"PATH": "/usr/bin:/bin"},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def watch(self, group: int) -> None:
        self._say(str(group))

    def release(self) -> None:
        """Everything has ended in order."""
        self._say("done")
        assert self._process.stdin is not None  # noqa: S101 - opened above
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - opened above
        with contextlib.suppress(OSError):  # Somebody killed the guard: then there is none.
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose parents end, so that `kill_descendants` finds them."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants(spared: set[int], timeout_s: float) -> None:
    """Kill and reap what is left below this process, in whatever group or session it hides."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        left = _children_of(os.getpid()) - spared
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def _children_of(parent: int) -> set[int]:
    """Read /proc, which shows adopted children too."""
    children = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # The process has ended meanwhile.
                # The name in parentheses may hold spaces and parentheses; state and parent's id follow it.
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    children.add(int(folder.name))
    return children

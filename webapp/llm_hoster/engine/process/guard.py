"""What must happen to the processes when the supervisor itself is killed, and to those that leave their group."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_hoster.process_table import pids, read_stat

PR_SET_CHILD_SUBREAPER = 36

# Each line that it reads names all process groups of now, until the supervisor ends, however that comes about: then the
# pipe closes. It ignores the signals that Slurm sends to all processes of a job at once; a line "done" sends it home.
# One that was never told any takes nothing away, for it may stand in for another that was killed: the next session on
# this node finds the processes by the folder.
GUARD_SCRIPT = """
trap '' TERM INT HUP
told=
while read -r line; do
    [ "$line" = done ] && exit 0
    told=1 groups=$line
done
[ -n "$told" ] || exit 0
# shellcheck disable=SC2086 # one word for each group
[ -n "$groups" ] && kill -s KILL -- $groups 2>/dev/null
[ -f "$1/shared-memory" ] && while read -r file; do
    case $file in /dev/shm/*/*) ;; /dev/shm/*) rm -f -- "$file" ;; esac
done <"$1/shared-memory"
rm -rf -- "$1"
"""


class Guard:
    """A small shell beside the supervisor that kills the children's groups and removes the folder if it is killed."""

    def __init__(self, runtime_dir: Path, on_end: Callable[[], None] = lambda: None) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - a list, made by us
            ["/bin/sh", "-c", GUARD_SCRIPT, "llm-hoster-guard", str(runtime_dir)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={"PATH": "/usr/bin:/bin"},
        )
        threading.Thread(target=self._wait, args=(on_end,), name="guard", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def watch(self, groups: Sequence[int]) -> None:
        """These and no others: the number of one that has ended may soon be somebody else's."""
        self._say(" ".join(f"-{group}" for group in groups))

    def release(self) -> None:
        """Everything has ended in order."""
        self._say("done")
        assert self._process.stdin is not None  # noqa: S101 - opened above
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def _wait(self, on_end: Callable[[], None]) -> None:
        self._process.wait()
        on_end()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - opened above
        with contextlib.suppress(OSError):  # Somebody killed the guard: then there is none.
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose parents end, so that `kill_descendants` finds them."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants(spared: set[int], timeout_s: float, *, spare_own_session: bool = False) -> None:
    """
    Kill and reap what is left below this process, in whatever group or session it hides.

    `spare_own_session` is for one that goes on: squeue and the like run in our own session, which none that has left it
    for one of its own can enter again.
    """
    spared = set(spared)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        left = _children(os.getpid(), os.getsid(0) if spare_own_session else None) - spared
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except PermissionError:  # A program that runs as another user: nothing of ours can end it.
                spared.add(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def _children(parent: int, but_of_session: int | None) -> set[int]:
    """Adopted children are among them."""
    children = set()
    for pid in pids():
        with contextlib.suppress(OSError):  # The process has ended meanwhile.
            stat = read_stat(pid)
            if stat.parent == parent and stat.session != but_of_session:
                children.add(pid)
    return children

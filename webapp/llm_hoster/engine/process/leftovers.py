"""What a session leaves on its node when everything of it is killed at once; the next one here clears it away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
from pathlib import Path

from llm_hoster.engine.process.shared_memory import remove_recorded
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.engine.record.job_log import say
from llm_hoster.process_table import PROC, pids

HOST = "host"
# One file of /dev/shm in a line; read by the guard too.
SHARED_MEMORY_RECORD = "shared-memory"


def lock_folder(runtime_dir: Path) -> int:
    """
    Lock the folder as long as this process lives; return the lock's descriptor.

    As long, systemd-tmpfiles leaves alone what is in it, however old. The host is named when the lock is held, so that
    a folder that names this host and can be locked belongs to a session that is dead.
    """
    descriptor = os.open(runtime_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # Waits where systemd-tmpfiles looks into it at this moment.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    replace_file(runtime_dir / HOST, os.uname().nodename)
    return descriptor


def clear_leftovers(node_dir: Path, name_prefix: str) -> None:
    """End the processes of our dead sessions on this node and remove their folders; what cannot be done is left."""
    for folder in node_dir.glob(f"{name_prefix}*"):
        with contextlib.suppress(OSError):
            if folder.stat(follow_symlinks=False).st_uid == os.getuid() and _is_dead(folder):
                ended = _kill_processes_of(folder)
                remove_recorded(folder / SHARED_MEMORY_RECORD)
                shutil.rmtree(folder, ignore_errors=True)
                say("session", f"cleared away what a killed session had left: {folder}, {ended} process(es)")


def _is_dead(folder: Path) -> bool:
    """Raise OSError where no host is named: such a folder is being made at this moment, or none of ours."""
    # On a disk that nodes share, a lock is often seen on its own node alone.
    if (folder / HOST).read_text() != os.uname().nodename:
        return False
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _kill_processes_of(runtime_dir: Path) -> int:
    """All that a session starts has its folder in the environment; only our own processes show us theirs."""
    mark = f"={runtime_dir}/".encode()
    ended = 0
    for pid in pids():
        with contextlib.suppress(OSError):  # It is not ours, or has ended.
            if mark in (PROC / str(pid) / "environ").read_bytes():
                os.kill(pid, signal.SIGKILL)
                ended += 1
    return ended

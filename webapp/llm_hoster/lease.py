"""
A file that says who works on something, kept fresh by its owner: a lock among the nodes of a cluster.

flock does not do: on some file systems of clusters it succeeds for everybody, on others it hangs. Here an owner that
died on this node is seen at once, one on another node when its file has not changed for `stale_s`. Two owners at a time
are rare, not impossible: what is done under a lease must stay right then, and only cost more.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_hoster.process_table import read_stat

BEAT_S = 20.0
STALE_S = 120.0
POLL_S = 1.0
CONTENT_BYTES_MAX = 4096
# By the clocks of two nodes, which Slurm (munge) keeps within five minutes of each other.
CLOCKS_APART_S = 600.0


@dataclass(frozen=True)
class Owner:
    host: str
    node: str
    pid: int
    started: str
    token: str

    @classmethod
    def here(cls) -> Owner:
        pid = os.getpid()
        return cls(os.uname().nodename, _this_node(), pid, _start_of(pid) or "", uuid.uuid4().hex)

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Give None for what nobody has written to its end."""
        try:
            owner = cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None
        return owner if type(owner.pid) is int else None

    @property
    def is_of_this_node(self) -> bool:
        return self.node == _this_node()

    @property
    def runs_here(self) -> bool:
        return self.is_of_this_node and _start_of(self.pid) == self.started


class Lease:
    """One owner at a time. `lost` is set when somebody took it from us, because our node stood still for long."""

    def __init__(self, path: Path, *, beat_s: float = BEAT_S, stale_s: float = STALE_S) -> None:
        self.path = path
        self.lost = threading.Event()
        self._beat_s = beat_s
        self._stale_s = stale_s
        self._text = ""
        self._released = threading.Event()
        self._seen: tuple[str, int] | None = None
        self._seen_at = 0.0

    def take(self) -> bool:
        """Try once; raise OSError where no file can be written."""
        text = json.dumps(asdict(Owner.here()))
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        self._text = text
        threading.Thread(target=self._beat, name="lease", daemon=True).start()
        return True

    def wait(self, on_wait: Callable[[Owner | None], None], *, poll_s: float = POLL_S) -> None:
        """Take it as soon as its owner lets go, or has died; `on_wait` is called again and again until then."""
        while not self.take_if_free():
            held = _read(self.path)
            if held is not None:
                on_wait(Owner.parse(held[0]))
            time.sleep(poll_s)

    def take_if_free(self) -> bool:
        """Try once, also where its owner has died; on another node that shows when this is called for `stale_s`."""
        if self.take():
            return True
        held = _read(self.path)
        if held is None or not self._is_dead(Owner.parse(held[0]), *held):
            return False
        self._remove(held[0])
        return self.take()

    def release(self) -> None:
        self._released.set()
        if self._text:
            self._remove(self._text)
            self._text = ""

    def _is_dead(self, owner: Owner | None, text: str, stamp: int) -> bool:
        if owner is not None and owner.is_of_this_node:
            return not owner.runs_here
        # By our own clock alone: that of the file server may be another.
        if self._seen != (text, stamp):
            self._seen, self._seen_at = (text, stamp), time.monotonic()
        return time.monotonic() - self._seen_at > self._stale_s

    def _remove(self, text: str) -> None:
        """Remove the file when it says this. Moved aside first, since in between somebody else may have taken it."""
        aside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path, aside)
            found = _read(aside)
            if found is not None and found[0] != text:
                with contextlib.suppress(OSError):  # There is a third one by now: then two work at the same.
                    os.link(aside, self.path)
            os.unlink(aside)

    def _beat(self) -> None:
        while not self._released.wait(self._beat_s):
            held = _read(self.path)
            if held is None or held[0] != self._text:
                self.lost.set()
                return
            with contextlib.suppress(OSError):
                os.utime(self.path)


def is_held(path: Path) -> bool:
    """Judge at once, from outside; when in doubt it is."""
    held = _read(path)
    if held is None:
        return False
    text, stamp = held
    owner = Owner.parse(text)
    if owner is not None and owner.is_of_this_node:
        return owner.runs_here
    return time.time() - stamp / 1e9 < CLOCKS_APART_S


def _read(path: Path) -> tuple[str, int] | None:
    """Give content and time of the last beat. Opened each time: that asks a file server, where stat need not."""
    try:
        with path.open("rb") as file:
            return file.read(CONTENT_BYTES_MAX).decode(errors="replace"), os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


def _this_node() -> str:
    """Name the space in which a process id means something: this start of this node, and a container's own."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"


def _start_of(pid: int) -> str | None:
    """Give what tells a process from a later one with the same id; None when there is none, or only its zombie."""
    try:
        stat = read_stat(pid)
    except OSError:
        return None
    return None if stat.state in "ZX" else stat.start

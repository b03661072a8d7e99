"""Files in /dev/shm that killed processes leave are removed; those that are in use, or a person's own, are not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_hoster.engine.process.descendants import descendants
from llm_hoster.engine.process.shared_memory import SharedMemory

MAP = """
import mmap, sys, time
file = open(sys.argv[1], 'r+b')
memory = mmap.mmap(file.fileno(), 0)
print('up', flush=True)
time.sleep(60)
"""


@pytest.fixture
def path() -> Iterator[Path]:
    path = Path(f"/dev/shm/llmt-{os.getpid()} [0-1]")
    path.write_bytes(b"\0" * 4096)
    yield path
    path.unlink(missing_ok=True)


def map_file(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", MAP, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    assert process.pid in descendants()
    return process


def test_what_killed_processes_leave_is_removed_when_nobody_uses_it(path: Path) -> None:
    shared = SharedMemory()
    one, other = map_file(path), map_file(path)
    with one, other:
        shared.note()
        one.kill()
        one.wait()
        assert one.pid not in descendants()
        shared.clear()
        assert path.exists()
        other.kill()
        other.wait()
        shared.clear()
    assert not path.exists()


def test_what_no_process_of_ours_has_used_is_left(path: Path) -> None:
    shared = SharedMemory()
    shared.note()
    shared.clear()
    assert path.exists()

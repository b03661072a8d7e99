"""Which folders on a node are a dead session's, and what is cleared away with them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm_hoster.engine.process.folders import runtime_dir_in
from llm_hoster.engine.process.leftovers import HOST, lock_folder
from tests.engine.conftest import wait_until
from tests.engine.test_page_cache import make_model

# Gets a model ready, and is killed with all but what it has started.
SESSION = """
import os, signal, sys, time
from pathlib import Path
from llm_hoster.engine.process.folders import runtime_dir_in
from llm_hoster.engine.model.page_cache import reader_command
from llm_hoster.engine.model.{module} import {name}

with runtime_dir_in(Path(sys.argv[1])) as folder:
    prelude = {call}
    prelude.start(lambda: None)
    while not prelude.is_done:
        time.sleep(0.02)
        prelude.look()
    pid = prelude.children[0].pid
    # It must not end by itself before it is looked for.
    os.kill(pid, signal.SIGSTOP)
    print(folder, pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
PRELUDES = {
    "staging": ("Staging", 'Staging(sys.argv[2], {}, Path(sys.argv[3]), "tiny", folder / "t")'),
    "read_ahead": ("ReadAhead", "ReadAhead(lambda: reader_command(sys.argv[2], {}, num_gpus=0, on_gpu=True), folder)"),
}


def kill_a_session(module: str, *arguments: Path) -> tuple[Path, int]:
    """Give its folder, and the process that it left."""
    name, call = PRELUDES[module]
    script = SESSION.format(module=module, name=name, call=call)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    folder, pid = done.stdout.splitlines()[-1].split()
    return Path(folder), int(pid)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def clear(node_dir: Path) -> None:
    with runtime_dir_in(node_dir):
        pass


@pytest.mark.parametrize("module", PRELUDES)
def test_what_a_killed_session_started_is_ended_and_its_copys_lock_is_free(
    short_dir: Path, tmp_path: Path, module: str
) -> None:
    model = make_model(tmp_path / "model", ["config.json", "model.safetensors"])
    folder, pid = kill_a_session(module, short_dir, model, tmp_path / "stage")
    assert folder.exists() and lives(pid)
    clear(short_dir)
    try:
        wait_until(lambda: not lives(pid), 5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not folder.exists()
    for path in tmp_path.glob("stage/*/*.lock"):
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def make_folder(node_dir: Path, host: str | None) -> Path:
    folder = node_dir / "llmh-12345678"
    folder.mkdir(mode=0o700)
    if host is not None:
        (folder / HOST).write_text(host)
    return folder


@pytest.mark.parametrize(
    ("host", "is_cleared"),
    [
        pytest.param(os.uname().nodename, True, id="ours"),
        # A lock on a disk that nodes share may be seen on its own node alone.
        pytest.param("another-node", False, id="another's"),
        pytest.param(None, False, id="being made"),
    ],
)
def test_only_a_folder_of_this_host_is_cleared_away(short_dir: Path, host: str | None, is_cleared: bool) -> None:
    folder = make_folder(short_dir, host)
    clear(short_dir)
    assert folder.exists() is not is_cleared


def test_a_folder_whose_session_lives_is_left(short_dir: Path) -> None:
    with runtime_dir_in(short_dir) as folder:
        clear(short_dir)
        assert folder.exists()


def test_what_removes_old_files_leaves_a_sessions_alone(short_dir: Path) -> None:
    """systemd-tmpfiles passes over every folder that it cannot lock."""
    with runtime_dir_in(short_dir) as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.close(descriptor)


def test_a_folder_is_made_while_something_looks_into_it(short_dir: Path) -> None:
    """As systemd-tmpfiles does, which locks it for a moment."""
    folder = make_folder(short_dir, None)
    with subprocess.Popen(["flock", str(folder), "sleep", "0.5"]):
        time.sleep(0.2)
        os.close(lock_folder(folder))
    assert (folder / HOST).read_text() == os.uname().nodename

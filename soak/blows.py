"""What may befall a session from outside: a full disk, what a dead session has left, a broken model."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from llm_hoster.engine.model.weight_files import weight_files
from soak.session import READY_TIMEOUT_S, SoakError, SoakSession, Staging, wait_for
from tests.conftest import prefix_path
from tests.engine.test_real_recovery import say_hello

SMALL_DISK = "8m"


def full_disk(staging: Staging) -> str:
    """Logs, outcome and endpoint file cannot be written any more; vLLM dies on top of it."""
    session = staging.start(prepare=mount_small_disk)
    try:
        session.wait_for_port()
        session.wait_until_ready()
        fill(session.staged_root / "filler")
        say_hello(session)
        os.kill(session.pid_of("vllm"), signal.SIGKILL)
        session.wait_until_ready(restarts=1)
        say_hello(session)
        require_nothing(session.end())
    finally:
        session.kill()
        subprocess.run(["umount", "--lazy", str(session.staged_root)], check=True)  # noqa: S603, S607 - ours
    return "goes on, serves again after a crash, and ends in order"


def stale_socket(staging: Staging) -> str:
    """All of a session is killed at once, guard included; the next one on the node clears away what it has left."""
    dead = staging.start()
    try:
        dead.wait_for_port()
        dead.wait_until_ready()
        os.kill(dead.pid_of("guard"), signal.SIGKILL)
        dead.process.kill()
        dead.process.wait()
        left = len(dead.processes())
        next_one = staging.start(node_dir=dead.node_dir)
        try:
            next_one.wait_for_port()
            next_one.wait_until_ready()
            replace_by_stale_socket(next_one.runtime_dir / "vllm.sock", next_one)
            next_one.wait_until_ready(restarts=1)
            say_hello(next_one)
            require_nothing(next_one.end() + dead.traces.left())
        finally:
            next_one.kill()
    finally:
        dead.kill()
    return f"{left} process(es) and the folder of a dead session cleared away, a stale socket replaced"


def corrupt_shard(staging: Staging) -> str:
    with tempfile.TemporaryDirectory(prefix="soak-model-") as name:
        model = Path(shutil.copytree(prefix_path() / "models" / "tiny", Path(name) / "tiny"))
        shard = weight_files(model)[0]
        os.truncate(shard, shard.stat().st_size // 2)
        session = staging.start("--failed-stay", "2", source=model)
        try:
            cause = session.wait_for_failure()
            if not cause.startswith("The model's weight files are missing or incomplete."):
                raise SoakError(f"another sentence: {cause}")
            session.process.wait(timeout=30)
            require_nothing(session.what_is_left())
        finally:
            session.kill()
    return f"failed: {cause}"


def mount_small_disk(folder: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=0700", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)  # noqa: S603 - a list, made by us


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def replace_by_stale_socket(path: Path, session: SoakSession) -> None:
    """Kill vLLM while it stands still, so that the socket of nobody is there before the next one starts."""
    pid = session.pid_of("vllm")
    os.kill(pid, signal.SIGSTOP)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: session.restarts == 1, "the restart", READY_TIMEOUT_S)


def require_nothing(wrong: list[str]) -> None:
    if wrong:
        raise SoakError("; ".join(wrong))


OTHER_BLOWS: dict[str, Callable[[Staging], str]] = {
    "full-disk": full_disk,
    "stale-socket": stale_socket,
    "corrupt-shard": corrupt_shard,
}

"""
Ray on one node of a session, from its start to the removal of its last file.

As a program it runs on each node of the job, on the others in a step of Slurm. It says with lines on stdout how it is;
all other lines are Ray's own. Ray is started here and not by the step itself because `ray start --block` goes on for
ever when its raylet has ended by SIGTERM, leaves its files behind, and knows no private place for its token.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from llm_hoster.engine.cluster.nodes import address_of, free_port
from llm_hoster.engine.process.descendants import descendants, lives
from llm_hoster.engine.process.folders import runtime_dir_in
from llm_hoster.engine.process.guard import Guard, adopt_orphans, kill_descendants
from llm_hoster.engine.process.shared_memory import SharedMemory
from llm_hoster.errors import SessionError

# What a line to the supervisor begins with, and its words.
MARK = "@ray-node "
STARTED = "started"
ALIVE = "alive"
LOST = "lost: "
READ_AHEAD = "page cache: "
ALIVE_INTERVAL_S = 10.0
LOOK_INTERVAL_S = 1.0
# Ray itself was seen to go on for two minutes after its network had died.
HEAD_SILENCE_S = 25.0
CONNECT_TIMEOUT_S = 3.0
# Ray itself writes this when its node has joined. Its words are the same since Ray 1.0.
JOINED_LINE = "Ray runtime started."
GRACE_S = 4.0

# Ray's own files. A socket's path ends at 107 bytes; Ray appends 64 to the folder's.
RAY_FOLDER = "r"
TOKEN_FILE = "ray_token"  # noqa: S105 - a name
# vLLM sends its data past Ray's object store. Ray would take 30 % of the memory, and refuses less than 75 MiB.
OBJECT_STORE_BYTES = 128 * 2**20


@dataclass(frozen=True)
class RayPlan:
    """What all nodes of one Ray have to agree on."""

    # Where the head takes the other nodes' calls, HOST:PORT.
    address: str
    interface: str
    gpus_per_node: int
    # The session's folder on the head, which other nodes replace by one of their own, and where they make it.
    runtime_dir: str
    node_dir: str
    # NCCL's settings and the like, as site.yml has them.
    env: Mapping[str, str]
    token: str = field(repr=False)
    # The command that `start` and its options follow.
    ray: Sequence[str] = ()
    # The program that reads weights into the page cache of the other node; empty where none shall.
    reader: Sequence[str] = ()

    @property
    def head_address(self) -> str:
        return self.address.partition(":")[0]

    @classmethod
    def from_file(cls, path: Path) -> RayPlan:
        return cls(**json.loads(path.read_text()))

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def ray_environment(plan: RayPlan, runtime_dir: Path, own_address: str) -> dict[str, str]:
    """Give what Ray and vLLM need on one node, over what they need for one alone."""
    return {
        "VLLM_HOST_IP": own_address,
        "GLOO_SOCKET_IFNAME": plan.interface,
        "NCCL_SOCKET_IFNAME": plan.interface,
        "RAY_ADDRESS": plan.address,
        "RAY_TMPDIR": str(runtime_dir),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(runtime_dir / TOKEN_FILE),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Other people's memory on a shared node is no reason to end our workers; Slurm watches over ours.
        "RAY_memory_monitor_refresh_ms": "0",
        **plan.env,
    }


def start_arguments(plan: RayPlan, runtime_dir: Path, own_address: str, *, is_head: bool) -> list[str]:
    """
    Give the options of `ray start`.

    Whatever can be chosen by the kernel is; what Ray wants a number for gets a free one, so that two jobs can share a
    node. One CPU for each GPU: Ray keeps so many processes ready, and vLLM's workers ask for none.
    """
    arguments = ["start", "--block", "--log-color=false", "--disable-usage-stats", f"--node-ip-address={own_address}"]
    arguments += [f"--num-gpus={plan.gpus_per_node}", f"--num-cpus={plan.gpus_per_node}"]
    arguments += [f"--temp-dir={runtime_dir / RAY_FOLDER}", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    arguments += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
    if not is_head:
        return [*arguments, f"--address={plan.address}"]
    return [
        *arguments,
        "--head",
        "--no-monitor",
        f"--port={plan.address.rpartition(':')[2]}",
        "--include-dashboard=false",
        f"--dashboard-port={free_port('127.0.0.1')}",
        # It cannot be left out; it asks for the token like all the others.
        f"--ray-client-server-port={free_port(own_address)}",
    ]


class RayNode:
    """Ray's processes on this node. They stay in our own process group, so that one signal reaches all."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.has_joined = False
        self._raylet: int | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._process = self._start(command, environment, "")

    def read_ahead(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Have weights read into this node's page cache, which nobody waits for and whose failure harms nobody."""
        try:
            self._start(command, environment, f"{MARK}{READ_AHEAD}")
        except OSError as error:
            tell(f"{READ_AHEAD}it cannot be read into: {error}")

    def trouble(self) -> str | None:
        """Say why this node is of no use any more; None while it is well."""
        if self._process.poll() is not None:
            return f"Ray ended with exit status {self._process.returncode}"
        if self.has_joined and not self._has_raylet():
            return "Ray's process raylet ended"
        return None

    def _has_raylet(self) -> bool:
        """Look for it once: on a large node /proc has thousands of processes, and this is asked each second."""
        if self._raylet is None:
            self._raylet = next((pid for pid, name in descendants().items() if name == "raylet"), None)
        return self._raylet is not None and lives(self._raylet)

    def pass_lines(self, timeout_s: float) -> None:
        """Print what Ray says in the next seconds."""
        deadline = time.monotonic() + timeout_s
        with contextlib.suppress(queue.Empty):
            while True:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
                print(line.rstrip("\n"), flush=True)
                if JOINED_LINE in line and not self.has_joined:
                    self.has_joined = True
                    tell(STARTED)

    def end(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.terminate()
            self._process.wait(GRACE_S)

    def _start(self, command: Sequence[str], environment: Mapping[str, str], mark: str) -> subprocess.Popen[str]:
        """Start a program whose lines are passed on with a mark in front."""
        process = subprocess.Popen(  # noqa: S603 - a list, made by us
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._read, args=[process, mark], name="output", daemon=True).start()
        return process

    def _read(self, process: subprocess.Popen[str], mark: str) -> None:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in process.stdout:
            self._lines.put(mark + line)
        process.wait()


def tell(word: str) -> None:
    print(f"{MARK}{word}", flush=True)


class Head:
    """The first node, as seen from another: what is cut off from it must end, though nobody can tell it to."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._reached_at = time.monotonic()

    def is_lost(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(self._address, timeout=CONNECT_TIMEOUT_S):
            self._reached_at = time.monotonic()
        return time.monotonic() - self._reached_at > HEAD_SILENCE_S


def watch(node: RayNode, head: Head | None, shared: SharedMemory, is_asked_to_end: threading.Event) -> int:
    """Report until somebody asks for the end, or all is lost here; return the exit status. `head` is another node."""
    told_at = 0.0
    while not is_asked_to_end.is_set():
        node.pass_lines(LOOK_INTERVAL_S)
        trouble = node.trouble()
        if trouble is not None:
            node.pass_lines(0.2)
            tell(LOST + trouble)
            return 1
        if time.monotonic() - told_at >= ALIVE_INTERVAL_S:
            told_at = time.monotonic()
            tell(ALIVE)
            shared.note()
            if head is not None and head.is_lost():
                tell(f"{LOST}the first node is out of its reach")
                return 1
    return 0


@contextmanager
def own_folder(plan: RayPlan, *, is_head: bool) -> Iterator[tuple[Path, set[int]]]:
    """
    Give the session's folder on this node, and the processes that must outlive Ray's.

    On the head the supervisor has made the folder, removes it, and has a guard.
    """
    if is_head:
        yield Path(plan.runtime_dir), set()
        return
    with runtime_dir_in(Path(os.path.expandvars(plan.node_dir))) as folder:
        # If we are killed, it ends our group and removes the folder.
        guard = Guard(folder)
        guard.watch([os.getpgrp()])
        try:
            yield folder, {guard.pid}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            guard.release()


def serve_node(plan: RayPlan, *, is_head: bool, is_asked_to_end: threading.Event) -> int:
    own_address = address_of(plan.interface)
    with own_folder(plan, is_head=is_head) as (folder, spared):
        token = folder / TOKEN_FILE
        token.unlink(missing_ok=True)
        with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(plan.token)
        # All that names the head's folder means our own here.
        environment = {name: _moved(value, plan, folder) for name, value in os.environ.items()}
        environment |= ray_environment(plan, folder, own_address)
        # It would send the head to a Ray that is not there yet.
        del environment["RAY_ADDRESS"]
        command = [_moved(word, plan, folder) for word in plan.ray]
        node = RayNode([*command, *start_arguments(plan, folder, own_address, is_head=is_head)], environment)
        shared = SharedMemory()
        try:
            if plan.reader and not is_head:
                node.read_ahead(plan.reader, environment)
            return watch(node, None if is_head else Head(plan.address), shared, is_asked_to_end)
        finally:
            shared.note()
            node.end()
            kill_descendants(spared, timeout_s=2.0)
            shared.clear()
            shutil.rmtree(folder / RAY_FOLDER, ignore_errors=True)


def _moved(text: str, plan: RayPlan, folder: Path) -> str:
    return text.replace(plan.runtime_dir, str(folder))


def wait_for_end_of_input(is_asked_to_end: threading.Event) -> None:
    """See engine/cluster/step.py."""
    # Not sys.stdin: its lock, held by this thread, is an error when Python ends.
    while os.read(0, 4096):
        pass
    is_asked_to_end.set()


def main(plan_path: str, role: str) -> int:
    is_asked_to_end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: is_asked_to_end.set())
    adopt_orphans()
    if role != "head":
        threading.Thread(target=wait_for_end_of_input, args=[is_asked_to_end], daemon=True).start()
    try:
        return serve_node(RayPlan.from_file(Path(plan_path)), is_head=role == "head", is_asked_to_end=is_asked_to_end)
    except (SessionError, OSError) as error:
        tell(f"{LOST}{error}")
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Ray over all nodes of the job: started before vLLM, watched as long as it serves."""

from __future__ import annotations

import dataclasses
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from llm_hoster.catalogue.compiled import Network
from llm_hoster.engine.cluster.nodes import JobNodes, address_of, free_port
from llm_hoster.engine.cluster.ray_node import LOST, MARK, READ_AHEAD, STARTED, RayPlan
from llm_hoster.engine.failures.failure import Failure, deciding_line
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.engine.record.job_log import say

NODE_PROGRAM = "llm_hoster.engine.cluster.ray_node"
STEP_PROGRAM = "llm_hoster.engine.cluster.step"
PLAN_FILE = "ray.json"
# Python reads Ray from a network file system on each node first.
JOIN_TIMEOUT_S = 180.0
# Three words of a node may be late. Slurm itself takes minutes to call a node lost.
SILENCE_S = 35.0
# When this process itself was kept waiting for so long, nothing is known of anybody's silence.
OWN_DELAY_S = 15.0


def make_ray_plan(
    network: Network, *, gpus_per_node: int, runtime_dir: Path, node_dir: Path, reader: Sequence[str] = ()
) -> RayPlan:
    """Choose Ray's address and token; raise SessionError where the network of site.yml is not there."""
    own_address = address_of(network.interface)
    return RayPlan(
        address=f"{own_address}:{free_port(own_address)}",
        interface=network.interface,
        gpus_per_node=gpus_per_node,
        runtime_dir=str(runtime_dir),
        node_dir=str(node_dir),
        env=network.env,
        token=secrets.token_hex(32),
        reader=reader,
    )


def ray_command(vllm: Sequence[str]) -> list[str]:
    """Wherever an engine has vllm, it has ray beside it; `vllm` is its command without arguments."""
    return [*vllm[:-1], vllm[-1].removesuffix("vllm") + "ray"]


class RayNodeWatch:
    """One node, as far as it lets us know."""

    def __init__(self, name: str, log: Path, notify: Callable[[], None]) -> None:
        self.name = name
        self.has_joined = False
        self.heard_at = time.monotonic()
        self.trouble: str | None = None
        self._notify = notify
        self._words: deque[tuple[float, str]] = deque()
        self.child = Child(f"Ray on {name}", log=log, on_line=self._take_line, on_end=notify)

    def look(self, now: float) -> None:
        while self._words:
            self.heard_at, word = self._words.popleft()
            self.has_joined = self.has_joined or word == STARTED
            if word.startswith(LOST):
                self.trouble = self.trouble or word.removeprefix(LOST)
        if self.trouble is None and self.child.return_code is not None:
            self.trouble = f"its step ended with exit status {self.child.return_code}"
        elif self.trouble is None and self.has_joined and now - self.heard_at > SILENCE_S:
            self.trouble = f"it has not been heard of for {now - self.heard_at:.0f} seconds"

    @property
    def last_words(self) -> str | None:
        lines = [line for line in self.child.lines if not line.startswith(MARK)]
        return deciding_line(lines) or (lines[-1] if lines else None)

    def _take_line(self, line: str) -> None:
        if line.startswith(MARK):
            word = line.removeprefix(MARK)
            if word.startswith(READ_AHEAD):
                say(f"page cache on {self.name}", word.removeprefix(READ_AHEAD))
            self._words.append((time.monotonic(), word))
            self._notify()


class RayCluster:
    """A Prelude: done when all nodes have joined, failed when one is lost. A new one is made for each start."""

    name = "ray"
    title = "Join the nodes"

    def __init__(
        self,
        plan: RayPlan,
        nodes: JobNodes,
        vllm: Sequence[str],
        environment: Mapping[str, str],
        *,
        cores: int,
        staged_root: Path,
    ) -> None:
        """
        `vllm` is the engine's command without arguments, `environment` its environment with `ray_environment` in it;
        `cores` are those of each node.

        `staged_root` is the session's folder, private and seen by all nodes: the token waits there while they join.
        """
        self.failure: Failure | None = None
        self._plan = dataclasses.replace(plan, ray=ray_command(vllm))
        self._nodes = nodes
        self._environment = environment
        self._cores = cores
        self._staged_root = staged_root
        self._watches: list[RayNodeWatch] = []
        self._notify: Callable[[], None] = lambda: None
        self._started_at = self._looked_at = 0.0

    @property
    def detail(self) -> str:
        return f"{sum(each.has_joined for each in self._watches)} of {self._nodes.count} nodes"

    @property
    def children(self) -> Sequence[Child]:
        return [each.child for each in self._watches]

    @property
    def is_done(self) -> bool:
        return sum(each.has_joined for each in self._watches) == self._nodes.count

    def start(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._started_at = self._looked_at = time.monotonic()
        replace_file(self._plan_path, self._plan.to_json())
        self._start_node(self._nodes.own, self._node_command("head"))

    def look(self) -> None:
        now = time.monotonic()
        was_done = self.is_done
        if now - self._looked_at > OWN_DELAY_S:
            for each in self._watches:
                each.heard_at = now
        self._looked_at = now
        for each in self._watches:
            each.look(now)
        self._judge(now)
        if self.failure is None and self._watches[0].has_joined and len(self._watches) == 1:
            for name in self._nodes.others:
                self._start_node(name, [*self._step(name), *self._node_command("worker")])
        if self.failure is not None or (self.is_done and not was_done):
            # Each node keeps the token for itself by now.
            self._plan_path.unlink(missing_ok=True)

    @property
    def _plan_path(self) -> Path:
        return self._staged_root / PLAN_FILE

    def _judge(self, now: float) -> None:
        lost = next((each for each in self._watches if each.trouble is not None), None)
        if self.failure is not None:
            return
        if lost is not None and lost.has_joined:
            self.failure = Failure(f"The node {lost.name} was lost: {lost.trouble}.", lost.last_words)
        elif lost is not None:
            self.failure = Failure(f"Ray did not start on the node {lost.name}: {lost.trouble}.", lost.last_words)
        elif not self.is_done and now - self._started_at > JOIN_TIMEOUT_S:
            missing = [name for name in (self._nodes.own, *self._nodes.others) if name not in self._joined()]
            self.failure = Failure(
                f"Not all nodes have joined within {JOIN_TIMEOUT_S:.0f} seconds; missing: {', '.join(missing)}. Launch "
                f"again; if it stays so, tell the site's support that the nodes do not reach each other on "
                f"{self._plan.interface}.",
                None,
            )

    def _joined(self) -> list[str]:
        return [each.name for each in self._watches if each.has_joined]

    def _start_node(self, name: str, command: Sequence[str]) -> None:
        watch = RayNodeWatch(name, self._staged_root / f"ray-{name}.log", self._notify)
        # Appended first: a child that ends at once must be found.
        self._watches.append(watch)
        watch.child.start(command, self._environment, cwd=self._staged_root)

    def _node_command(self, role: str) -> list[str]:
        return [sys.executable, "-I", "-m", NODE_PROGRAM, str(self._plan_path), role]

    def _step(self, name: str) -> list[str]:
        """OnDemand submits with --export=NONE, which a step would take over: without PATH it finds nothing."""
        return [
            sys.executable,
            "-I",
            "-m",
            STEP_PROGRAM,
            "srun",
            "--export=ALL",
            "--overlap",
            "--nodes=1",
            "--ntasks=1",
            "--mpi=none",
            f"--nodelist={name}",
            f"--cpus-per-task={self._cores}",
            "--chdir=/",
        ]

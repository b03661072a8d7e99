"""What Slurm says of its nodes, partitions and QoS. A tool that is missing or fails is noted and no reason to stop."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from llm_hoster.catalogue.site import BYTES_PER_GB
from llm_hoster.errors import LLMHosterError

TIMEOUT_S = 20
BYTES_PER_MIB = 2**20
TYPED_GPU = re.compile(r"(?:^|,)gpu:([^:,()]+):(\d+)")
UNTYPED_GPU = re.compile(r"(?:^|,)gpu:(\d+)(?:\(|,|$)")
TRES_GPU = re.compile(r"(?:^|,)gres/gpu(?::([^=,]+))?=(\d+)")
DURATION = re.compile(r"(?:(\d+)-)?(\d+):(\d+)(?::(\d+))?")
NODE_FORMAT = "%N|%R|%G|%c|%m|%f|%T|%n"
QOS_FORMAT = "Name,MaxWall,MaxTRESPU,GrpTRES,MaxJobsPU,MaxSubmitPU,UsageFactor"
# What a limit on GPUs of any type is called here.
ANY_GPU = ""

Run = Callable[[list[str]], str]
T = TypeVar("T")


class ToolError(LLMHosterError):
    """A command of Slurm is not here or failed; the message says which and why."""


@dataclass(frozen=True)
class Node:
    name: str
    host: str
    # By type; GPUs without one stand under ANY_GPU.
    gpus: dict[str, int]
    cores: int
    memory_mib: int
    features: frozenset[str]
    state: str

    @property
    def is_up(self) -> bool:
        return not self.state.startswith(("down", "drained", "fail", "future", "unknown"))


@dataclass(frozen=True)
class Partition:
    name: str
    nodes: tuple[Node, ...]
    # None = without a limit; of the QoS: every one is allowed.
    max_hours: float | None
    allowed_qos: frozenset[str] | None

    @property
    def gpu_nodes(self) -> tuple[Node, ...]:
        """Those with GPUs, or all where none has any."""
        return tuple(node for node in self.nodes if node.gpus) or self.nodes

    @property
    def cores_per_node(self) -> int:
        """Of the node with the fewest: what every launch may count on."""
        return min(node.cores for node in self.gpu_nodes)

    @property
    def memory_per_core_mib(self) -> float:
        """Of the node with the least."""
        return min(node.memory_mib / node.cores for node in self.gpu_nodes)

    @property
    def memory_per_core_gb(self) -> float:
        return self.memory_per_core_mib * BYTES_PER_MIB / BYTES_PER_GB


@dataclass(frozen=True)
class Qos:
    name: str
    max_hours: float | None
    max_jobs: int | None
    # GPUs by type; a limit on all types together stands under ANY_GPU.
    per_user: dict[str, int]
    total: dict[str, int]
    usage_factor: float

    def gpus(self, gres: str) -> dict[str, int]:
        """Give `per_user` and `total` of a type, where there is such a limit; site.yml has no user above the total."""
        limits: dict[str, int] = {}
        for name, counts in (("per_user", self.per_user), ("total", self.total)):
            found = [counts[gpu] for gpu in (gres, ANY_GPU) if gpu in counts]
            if found:
                limits[name] = min(found)
        if len(limits) == 2:
            limits["per_user"] = min(limits.values())
        return limits


@dataclass
class Cluster:
    """None where the command that knows it could not be read; `unread` says why."""

    name: str | None = None
    partitions: dict[str, Partition] | None = None
    qos: dict[str, Qos] | None = None
    # Those that the associations of whoever asks allow.
    own_qos: frozenset[str] | None = None
    unread: list[str] = field(default_factory=list)


def run_tool(argv: list[str]) -> str:
    """Run one of Slurm's commands, which only read; raise ToolError when it is missing, fails or hangs."""
    if shutil.which(argv[0]) is None:
        raise ToolError(f"{argv[0]} is not installed on this machine: run this on a login node of the cluster.")
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            argv, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{argv[0]} gave no answer: {error}") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise ToolError(f"{' '.join(argv)} failed: {words[-1] if words else f'exit status {done.returncode}'}")
    return done.stdout


def read_cluster(run: Run = run_tool, user: str | None = None) -> Cluster:
    """Ask sinfo, scontrol and sacctmgr; `user` is whose associations are read."""
    cluster = Cluster()
    sinfo = ["sinfo", "--all", "--noheader", "--Node", "--format", NODE_FORMAT]
    nodes = _ask(cluster, run, sinfo, _parse_nodes)
    partitions = _ask(cluster, run, ["scontrol", "--all", "--oneliner", "show", "partition"], _parse_partitions)
    if nodes is not None and partitions is not None:
        cluster.partitions = {
            name: replace(partition, nodes=tuple(nodes.get(name, ()))) for name, partition in partitions.items()
        }
    cluster.name = _ask(cluster, run, ["scontrol", "show", "config"], _parse_name)
    cluster.qos = _ask(cluster, run, ["sacctmgr", "-nP", "show", "qos", f"format={QOS_FORMAT}"], _parse_all_qos)
    if user is not None:
        own = ["sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=QOS"]
        cluster.own_qos = _ask(cluster, run, own, _parse_names)
    return cluster


def parse_hours(text: str) -> float | None:
    """Read one of Slurm's durations; None = no limit. 30:00 are minutes, 1-00:00:00 is a day."""
    found = DURATION.fullmatch(text)
    if found is None:
        return None
    days, first, second, third = (int(part or 0) for part in found.groups())
    if found[4] is None and found[1] is None:
        return first / 60 + second / 3600
    return days * 24 + first + second / 60 + third / 3600


def parse_gres(text: str) -> dict[str, int]:
    """Count the GPUs of a node by type: gpu:a100:3(S:0-1),gpu:2 gives a100 and ANY_GPU."""
    found = {name: int(count) for name, count in TYPED_GPU.findall(text)}
    untyped = sum(int(count) for count in UNTYPED_GPU.findall(text))
    return found | {ANY_GPU: untyped} if untyped else found


def _ask(cluster: Cluster, run: Run, argv: list[str], parse: Callable[[str], T]) -> T | None:
    try:
        return parse(run(argv))
    except ToolError as error:
        reason = str(error)
    except (ValueError, KeyError) as error:
        reason = f"{argv[0]} of this Slurm writes something that is not understood here: {error!r}"
    if reason not in cluster.unread:
        cluster.unread.append(reason)
    return None


def _parse_nodes(text: str) -> dict[str, list[Node]]:
    """Give the nodes by partition; sinfo names a node once for each of its partitions."""
    nodes: dict[str, list[Node]] = {}
    for line in text.splitlines():
        name, partition, gres, cores, memory, features, state, host = line.split("|")
        node = Node(
            name=name,
            host=host,
            gpus=parse_gres(gres),
            cores=_number(cores),
            memory_mib=_number(memory),
            features=frozenset(re.findall(r"[^,&|()\[\]]+", "" if features == "(null)" else features)),
            state=state.lower(),
        )
        nodes.setdefault(partition, []).append(node)
    return nodes


def _parse_partitions(text: str) -> dict[str, Partition]:
    partitions = {}
    for line in text.splitlines():
        values = dict(word.split("=", 1) for word in line.split() if "=" in word)
        allowed = values.get("AllowQos", "ALL")
        name = values["PartitionName"]
        partitions[name] = Partition(
            name=name,
            nodes=(),
            max_hours=parse_hours(values.get("MaxTime", "")),
            allowed_qos=None if allowed in ("ALL", "N/A") else frozenset(allowed.split(",")),
        )
    return partitions


def _parse_name(text: str) -> str | None:
    found = re.search(r"^ClusterName\s*=\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else None


def _parse_names(text: str) -> frozenset[str]:
    return frozenset(name for line in text.splitlines() for name in line.split(",") if name)


def _parse_all_qos(text: str) -> dict[str, Qos]:
    return {qos.name: qos for qos in map(_parse_qos, text.splitlines())}


def _parse_qos(line: str) -> Qos:
    name, max_wall, per_user, total, max_jobs, max_submit, factor = line.split("|")
    jobs = [int(text) for text in (max_jobs, max_submit) if text]
    return Qos(
        name=name,
        max_hours=parse_hours(max_wall),
        max_jobs=min(jobs, default=None),
        per_user=_gpu_limits(per_user),
        total=_gpu_limits(total),
        usage_factor=float(factor or 1),
    )


def _gpu_limits(text: str) -> dict[str, int]:
    return {name or ANY_GPU: int(count) for name, count in TRES_GPU.findall(text)}


def _number(text: str) -> int:
    """Read a number of sinfo's, which ends in + where the nodes of one line differ."""
    return int(text.rstrip("+") or 0)

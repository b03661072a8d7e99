"""What a test cluster is made of: nodes, partitions and, where it keeps accounts, its QoS."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A compute node: a network and a host name of its own, the file system of all."""

    name: str
    address: str
    cores: int = 16
    memory_mib: int = 64000
    # Type and count, as Slurm calls them.
    gpus: tuple[tuple[str, int], ...] = (("fake", 2),)
    feature: str | None = None


@dataclass(frozen=True)
class Partition:
    """`options` is what else its line of slurm.conf says."""

    name: str
    nodes: tuple[str, ...]
    max_time: str = "24:00:00"
    options: str = ""


@dataclass(frozen=True)
class Qos:
    """One QoS of the accounting, with its options in the words of sacctmgr."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Hardware:
    """Without `qos` there is no accounting: Slurm then takes any account, and job_submit.lua refuses unknown ones."""

    nodes: tuple[Node, ...]
    partitions: tuple[Partition, ...]
    qos: tuple[Qos, ...] = ()
    name: str = "llm-hoster-test"

    @property
    def gpu_names(self) -> list[str]:
        return sorted({name for node in self.nodes for name, _ in node.gpus})


HEAD = Node("head", "10.77.0.254")
NODES = (Node("n1", "10.77.0.1"), Node("n2", "10.77.0.2"))
PLAIN = Hardware(
    NODES,
    (Partition("cpu", ("n1", "n2"), options="Default=YES"), Partition("gpu", ("n1", "n2"))),
)

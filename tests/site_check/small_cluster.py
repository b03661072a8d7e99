"""Clusters of one partition with one node, made on the spot."""

from __future__ import annotations

from dataclasses import replace

from llm_hoster.site_check.slurm import Cluster, Node, Partition

NODE = Node("n", "n", {}, cores=8, memory_mib=8000, features=frozenset(), state="idle")
PARTITION = Partition("p", (NODE,), max_hours=0.5, allowed_qos=None)


def small(gpus: dict[str, int], **partition: object) -> Cluster:
    values = {"nodes": (replace(NODE, gpus=gpus),)} | partition
    return Cluster("c", {"p": replace(PARTITION, **values)}, {})  # type: ignore[arg-type]

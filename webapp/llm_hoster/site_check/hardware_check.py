"""Partitions and GPU types of site.yml held against the nodes that Slurm has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm_hoster.catalogue import site as written
from llm_hoster.catalogue.document import Location
from llm_hoster.site_check import slurm
from llm_hoster.site_check.finding import Finding, Kind
from llm_hoster.site_check.hours import check_hours
from llm_hoster.site_check.known_gpu import is_slice
from llm_hoster.site_check.site_file import SiteFile, nearest
from llm_hoster.site_check.slurm import ANY_GPU

PLAIN_FEATURE = re.compile(r"[A-Za-z0-9_.-]+")
# Documentation rounds: 3.8 GB a core is what a node with 231,933 MiB and 64 cores is said to have.
ROUNDING_GB = 0.01


def check_partitions(file: SiteFile, partitions: dict[str, slurm.Partition]) -> Iterator[Finding]:
    for index, partition in enumerate(file.site.partitions):
        real = partitions.get(partition.name)
        if real is None:
            names = [name for name, each in partitions.items() if any(node.gpus for node in each.nodes)]
            expected = f"a partition of the cluster: {', '.join(names or partitions)}"
            yield file.finding(("partitions", index, "name"), expected, new=nearest(partition.name, names))
        else:
            yield from _check_partition(file, index, partition, real)


def check_gpu_types(file: SiteFile, partitions: dict[str, slurm.Partition]) -> Iterator[Finding]:
    for index, gpu_type in enumerate(file.site.gpu_types):
        real = partitions.get(gpu_type.partition)
        if real is not None and gpu_type.gres is not None:
            yield from _check_gpu_type(file, ("gpu_types", index), gpu_type, gpu_type.gres, real)
    for index, partition in enumerate(file.site.partitions):
        real = partitions.get(partition.name)
        known = {each.gres for each in file.site.gpu_types if each.partition == partition.name}
        names = {name for node in (real.nodes if real else ()) for name in node.gpus}
        if unknown := sorted(names - known - {ANY_GPU}):
            expected = f"a GPU type for each gres of its nodes; none names {', '.join(unknown)}"
            yield file.finding(("partitions", index, "name"), expected, kind="note")


def _check_partition(
    file: SiteFile, index: int, partition: written.Partition, real: slurm.Partition
) -> Iterator[Finding]:
    here = ("partitions", index)
    yield from check_hours(
        file, (*here, "max_hours"), partition.max_hours, real.max_hours, f"the MaxTime of {real.name}"
    )
    if not real.nodes:
        yield file.finding((*here, "name"), f"a partition with nodes: {real.name} has none")
        return
    if partition.nodes not in (None, len(real.nodes)):
        expected = f"{len(real.nodes)}, the nodes of {real.name}"
        yield file.finding((*here, "nodes"), expected, new=len(real.nodes))
    most = _most_gpus(file.site, real)
    if most != partition.gpus_per_node:
        expected = f"{most}, the most GPUs of one type on a node of {real.name}"
        yield file.finding((*here, "gpus_per_node"), expected, new=most)
    cores = real.cores_per_node
    if cores != partition.cores_per_node:
        kind: Kind = "change" if cores < partition.cores_per_node else "note"
        expected = f"{cores}, the cores of the smallest node of {real.name}"
        yield file.finding((*here, "cores_per_node"), expected, new=cores, kind=kind)
    if partition.memory_per_core_gb > real.memory_per_core_gb + ROUNDING_GB:
        new = int(real.memory_per_core_gb * 100) / 100
        expected = f"at most {new}, the memory of the smallest node of {real.name} by its cores"
        # site.yml has no memory of 0: then RealMemory of slurm.conf must say what the nodes have.
        yield file.finding((*here, "memory_per_core_gb"), expected, new=new or None)


def _most_gpus(site: written.Site, real: slurm.Partition) -> int:
    """Slices are many on a node, and each works alone: they count only where a partition has nothing else."""
    slices = {each.gres for each in site.gpu_types if each.is_slice and each.partition == real.name}
    counts = [(name, count) for node in real.nodes for name, count in node.gpus.items()]
    whole = [count for name, count in counts if name not in slices and not is_slice(name)]
    return max(whole or [count for _, count in counts], default=0)


def _check_gpu_type(
    file: SiteFile, here: Location, gpu_type: written.GpuType, gres: str, real: slurm.Partition
) -> Iterator[Finding]:
    with_gres = [node for node in real.nodes if gres in node.gpus]
    nodes = [node for node in with_gres if _has_features(node, gpu_type.constraint)]
    if not with_gres:
        yield _wrong_gres(file, here, gres, real)
    elif not nodes:
        yield _wrong_constraint(file, here, gpu_type, with_gres)
    else:
        yield from _check_count(file, here, gpu_type, max(node.gpus[gres] for node in nodes))
        yield from _check_states(file, here, nodes)
    if with_gres and is_slice(gres) and not gpu_type.is_slice:
        yield file.finding((*here, "is_slice"), "true, as the name of the gres says", new=True)


def _has_features(node: slurm.Node, constraint: str | None) -> bool:
    """Take an expression of features, which only Slurm understands, for fulfilled."""
    return not constraint or not PLAIN_FEATURE.fullmatch(constraint) or constraint in node.features


def _wrong_gres(file: SiteFile, here: Location, gres: str, real: slurm.Partition) -> Finding:
    taken = {each.gres for each in file.site.gpu_types if each.partition == real.name}
    names = sorted({name for node in real.nodes for name in node.gpus} - {ANY_GPU})
    expected = f"a gres of {real.name}: {', '.join(names) or 'its nodes have none with a type'}"
    return file.finding((*here, "gres"), expected, new=nearest(gres, [name for name in names if name not in taken]))


def _wrong_constraint(
    file: SiteFile, here: Location, gpu_type: written.GpuType, with_gres: list[slurm.Node]
) -> Finding:
    features = sorted({name for node in with_gres for name in node.features})
    expected = f"a feature of the nodes with {gpu_type.gres}: {', '.join(features) or 'they have none'}"
    return file.finding((*here, "constraint"), expected, new=nearest(gpu_type.constraint or "", features))


def _check_count(file: SiteFile, here: Location, gpu_type: written.GpuType, most: int) -> Iterator[Finding]:
    fitting = [count for count in gpu_type.num_gpus if count <= most * gpu_type.max_nodes]
    if fitting != gpu_type.num_gpus:
        expected = f"at most {most} on a node: no node of {gpu_type.partition} has more {gpu_type.gres}"
        yield file.finding((*here, "num_gpus"), expected, new=fitting or [1])


def _check_states(file: SiteFile, here: Location, nodes: list[slurm.Node]) -> Iterator[Finding]:
    if not any(node.is_up for node in nodes):
        states = ", ".join(sorted({f"{node.name} {node.state}" for node in nodes}))
        yield file.finding((*here, "gres"), f"nodes that are up; now: {states}", kind="note")

"""A first site.yml, written from what Slurm says of its cluster; an admin checks and completes it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from llm_hoster.errors import LLMHosterError
from llm_hoster.site_check.hours import whole_hours
from llm_hoster.site_check.known_gpu import KnownGpu, find_gpu, is_slice
from llm_hoster.site_check.slurm import ANY_GPU, Cluster, Node, Partition, Qos

LONGEST_HOURS = 168
# A GiB, and what rounding may take from it.
LEAST_MIB = 1100
SLURM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
COUNTS = (1, 2, 4, 8)
ENGINES = {"cuda": "vllm-cuda-0.32.0", "rocm": "vllm-rocm-0.32.0"}

HEAD = """\
# A first site.yml, written by `llm-hoster discover`. Check what says "check this", then run `llm-hoster configure`.
# docs/adding-a-site.md and config/sites/generic.yml explain every field.

name: {cluster:<43} # check this: what people call the cluster
cluster: {cluster:<40} # check this: the file name in OnDemand's clusters.d
support_url: "https://example.org/support"        # check this

prefix: "/apps/llm-hoster"                        # check this: the folder given to bin/install
app: "0.1.0"                                      # check this: what bin/install printed
cache_dir: "/scratch/$USER/llm-hoster"            # check this: large, may be purged
data_dir: "$HOME/llm-hoster"                      # check this: small, must last
node_dir: "/tmp"
models: "models.yml"

proxy: "rnode"                                    # check this: `llm-hoster doctor --ood-portal FILE` does
ports: null                                       # check this: is there a firewall between portal and nodes?
hf_offline: false                                 # check this: can nodes reach huggingface.co?

account: "auto_accounts"
defaults: {{model: "qwen3-4b", gpu_type: {default}, num_gpus: 1, hours: 1}}
core_weight: 1                                    # check this: SU for a core and hour
"""


def write_site(cluster: Cluster, name: str | None = None) -> str:
    """Write the file; raise LLMHosterError where the cluster could not be read or has no GPU that Slurm names."""
    if cluster.partitions is None:
        raise LLMHosterError("The cluster could not be read. " + " ".join(cluster.unread))
    skipped: list[str] = []
    types = list(_gpu_types(cluster.partitions, skipped))
    if not types:
        raise LLMHosterError(" ".join(["No partition of this cluster has GPUs with a type.", *skipped]))
    qos = _usable_qos(cluster, [each.partition for each in types])
    default = min(types, key=lambda each: (each.accelerator != "cuda", each.is_slice, each.memory_gib))
    lines = [HEAD.format(cluster=_text(name or cluster.name or "cluster"), default=_text(default.name))]
    accelerators = sorted({each.accelerator for each in types})
    lines.append("engines:                                          # check this: what bin/install printed")
    lines += [f'  - {{name: "{ENGINES[each]}", kind: "venv", accelerator: "{each}"}}' for each in accelerators]
    lines += ["", "partitions:", *_partition_lines(types), ""]
    lines += ["qos:" if qos else "qos: []", *(_qos_line(each) for each in qos.values()), "", "gpu_types:"]
    for each in types:
        lines += each.lines(qos)
    lines += [f"# Left out: {reason}" for reason in skipped]
    return "\n".join(lines) + "\n"


class _GpuType:
    """One type of GPU in one partition, with the nodes that have it."""

    def __init__(self, gres: str, partition: Partition, name: str) -> None:
        self.gres, self.partition, self.name = gres, partition, name
        self.nodes: list[Node] = [node for node in partition.nodes if gres in node.gpus]
        self.known: KnownGpu | None = find_gpu(gres)
        self.is_slice = is_slice(gres)
        self.memory_gib = self.known.memory_gib if self.known else 8
        self.accelerator = self.known.accelerator if self.known else "cuda"

    def lines(self, qos: dict[str, Qos]) -> Iterator[str]:
        # Where a partition mixes whole GPUs and slices, the node with the most of this type says what one may take.
        fullest = max(self.nodes, key=lambda node: node.gpus[self.gres])
        most = fullest.gpus[self.gres]
        cores = max(self._fewest_cores(), fullest.cores // sum(fullest.gpus.values()))
        capability = self.known.compute_capability if self.known else None
        unknown = "" if self.known else ": this type of GPU is not known here"
        yield f"  - name: {_text(self.name)}"
        yield f"    title: {_text(self.known.title if self.known else self.gres)}"
        yield f"    partition: {_text(self.partition.name)}"
        yield f"    gres: {_text(self.gres)}"
        yield f"    memory_gib: {self.memory_gib:<33} # check this{unknown}"
        yield f"    compute_capability: {json.dumps(capability)}"
        yield f"    is_slice: {json.dumps(self.is_slice)}"
        yield "    su_weight: 1                                  # check this: SU for a GPU and hour"
        smallest = self.partition.cores_per_node
        counts = [count for count in COUNTS if count <= most and count * cores <= smallest]
        counts = [1] if self.is_slice else counts or [1]
        yield f"    num_gpus: {json.dumps(self._allowed(counts, qos))}"
        yield f"    cores_per_gpu: {cores}"
        yield f"    cores_per_gpu_max: {cores}"
        yield f"    qos: {{{', '.join(self._limits(qos))}}}"
        yield f"    engine: {_text(ENGINES[self.accelerator])}"

    def allows(self, qos: Qos) -> bool:
        allowed = self.partition.allowed_qos
        return (allowed is None or qos.name in allowed) and 0 not in qos.gpus(self.gres).values()

    def _fewest_cores(self) -> int:
        """Slurm takes a memory of 0 GiB for all of a node, so a GPU comes with the cores of at least one."""
        mib_per_core = self.partition.memory_per_core_mib
        return max(1, math.ceil(LEAST_MIB / mib_per_core)) if mib_per_core else 1

    def _limits(self, qos: dict[str, Qos]) -> Iterator[str]:
        for name, each in qos.items():
            if self.allows(each):
                limits = each.gpus(self.gres)
                yield f"{name}: {{{', '.join(f'{field}: {count}' for field, count in limits.items())}}}"

    def _allowed(self, counts: list[int], qos: dict[str, Qos]) -> list[int]:
        """Leave out the numbers of GPUs that no QoS gives to one user."""
        limits = [each.gpus(self.gres) for each in qos.values() if self.allows(each)]
        most = max((min(each.values(), default=counts[-1]) for each in limits), default=counts[-1])
        return [count for count in counts if count <= most] or [1]


def _gpu_types(partitions: dict[str, Partition], skipped: list[str]) -> Iterator[_GpuType]:
    taken: set[str] = set()
    for partition in partitions.values():
        names = sorted({gres for node in partition.nodes for gres in node.gpus})
        for gres in names:
            if not SLURM_NAME.fullmatch(partition.name) or not SLURM_NAME.fullmatch(gres):
                gpu = "its GPUs have no type in Slurm" if gres == ANY_GPU else f"the gres {gres} has no usable name"
                skipped.append(f"partition {partition.name}: {gpu}.")
                continue
            name = gres.lower()
            if name in taken:
                name = f"{name}-{partition.name.lower()}"
            taken.add(name)
            yield _GpuType(gres, partition, name)


def _usable_qos(cluster: Cluster, partitions: list[Partition]) -> dict[str, Qos]:
    """Take the QoS that the partitions name; where one allows all, those of whoever asks."""
    named = {name for partition in partitions for name in partition.allowed_qos or cluster.own_qos or ()}
    known = cluster.qos or {}
    return {name: qos for name, qos in known.items() if name in named and SLURM_NAME.fullmatch(name)}


def _partition_lines(types: list[_GpuType]) -> Iterator[str]:
    for partition in {each.partition.name: each.partition for each in types}.values():
        own = [each for each in types if each.partition is partition]
        values = {
            "name": partition.name,
            "nodes": len(partition.nodes),
            "gpus_per_node": _most_gpus(own),
            "cores_per_node": partition.cores_per_node,
            "memory_per_core_gb": int(partition.memory_per_core_gb * 100 + 0.1) / 100,
            "max_hours": _hours(partition.max_hours),
        }
        yield "  - {" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in values.items()) + "}"


def _most_gpus(types: list[_GpuType]) -> int:
    """Of one type on a node; slices, of which each works alone, only where there is nothing else."""
    whole = [each for each in types if not each.is_slice] or types
    return max(node.gpus[each.gres] for each in whole for node in each.nodes)


def _qos_line(qos: Qos) -> str:
    jobs = f", max_jobs: {qos.max_jobs}" if qos.max_jobs else ""
    name = _text(qos.name)
    return f"  - {{name: {name}, max_hours: {_hours(qos.max_hours)}{jobs}, charge: {qos.usage_factor:g}}}  # check this"


def _hours(hours: float | None) -> int:
    return LONGEST_HOURS if hours is None else whole_hours(hours)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)

"""Slurm configured as Alpine is documented: one node or two of each partition, every GPU type and slice, every QoS.

Written from the documentation, not from config/site.yml, so that the two can be held against each other.
"""

from __future__ import annotations

from tests.cluster.hardware import Hardware, Node, Partition, Qos

BYTES_PER_MIB = 2**20


def _node(number: int, name: str, cores: int, memory_per_core_gb: float, *gpus: tuple[str, int]) -> Node:
    memory_mib = int(cores * memory_per_core_gb * 10**9 / BYTES_PER_MIB)
    return Node(name, f"10.77.0.{number}", cores, memory_mib, gpus)


NODES = (
    _node(1, "a100-40", 64, 3.8, ("a100-40gb", 3)),
    _node(11, "a100-40b", 64, 3.8, ("a100-40gb", 3)),
    _node(2, "a100-80", 64, 3.8, ("a100_80gb", 3)),
    _node(3, "a100-mig", 64, 3.8, ("a100_3g.20gb", 6)),
    _node(4, "l40", 64, 3.8, ("l40", 3)),
    _node(5, "mi100", 64, 3.8, ("mi100", 3)),
    _node(6, "h200", 128, 12, ("h200", 4)),
    _node(7, "h200-mig", 128, 12, ("h200", 1), ("h200_3g.71gb", 2), ("h200_2g.35gb", 6)),
    _node(8, "rtx", 128, 12, ("rtx_pro_6000", 4)),
    _node(9, "rtx-mig", 128, 12, ("rtx_pro_6000_2g.48gb", 4), ("rtx_pro_6000_1g.24gb", 8)),
    _node(10, "grace", 72, 6.6, ("gh200", 1)),
)
ORDINARY = "AllowQos=gpu-normal,gpu-long"
WITH_TESTING = f"{ORDINARY},gpu-testing"
WEEK = "7-00:00:00"
PARTITIONS = (
    Partition("aa100", ("a100-40", "a100-40b", "a100-80", "a100-mig"), WEEK, WITH_TESTING),
    Partition("al40", ("l40",), WEEK, ORDINARY),
    Partition("ami100", ("mi100",), WEEK, WITH_TESTING),
    Partition("ah200", ("h200", "h200-mig"), WEEK, ORDINARY),
    Partition("artxpro6000", ("rtx", "rtx-mig"), WEEK, ORDINARY),
    Partition("gh200", ("grace",), WEEK, "AllowQos=gh200"),
)

# GPUs of one user, and of all users; 0 = no limit is documented.
NORMAL = {
    "a100-40gb": (6, 18),
    "a100_80gb": (3, 10),
    "l40": (3, 7),
    "mi100": (5, 18),
    "h200": (4, 13),
    "h200_3g.71gb": (4, 13),
    "h200_2g.35gb": (6, 21),
    "rtx_pro_6000": (4, 13),
    "rtx_pro_6000_2g.48gb": (4, 13),
    "rtx_pro_6000_1g.24gb": (7, 29),
}
LONG = {
    "a100-40gb": (3, 6),
    "a100_80gb": (1, 3),
    "l40": (3, 3),
    "mi100": (3, 6),
    "h200": (2, 5),
    "h200_3g.71gb": (2, 5),
    "h200_2g.35gb": (2, 5),
    "rtx_pro_6000": (2, 5),
    "rtx_pro_6000_2g.48gb": (2, 5),
    "rtx_pro_6000_1g.24gb": (2, 6),
}
TESTING = {"a100_3g.20gb": (1, 6), "mi100": (1, 3)}


def _qos(name: str, max_wall: str, max_jobs: int, charge: float, limits: dict[str, tuple[int, int]]) -> Qos:
    own = ",".join(f"gres/gpu:{gpu}={count}" for gpu, (count, _) in limits.items())
    total = ",".join(f"gres/gpu:{gpu}={count}" for gpu, (_, count) in limits.items() if count)
    options = [f"MaxWall={max_wall}", f"MaxJobsPerUser={max_jobs}", f"UsageFactor={charge}", "Flags=DenyOnLimit"]
    options += [f"MaxTRESPerUser={own}"] + ([f"GrpTRES={total}"] if total else [])
    return Qos(name, tuple(options))


ALPINE = Hardware(
    NODES,
    PARTITIONS,
    (
        _qos("gpu-normal", "1-00:00:00", 1000, 1, NORMAL),
        _qos("gpu-long", WEEK, 200, 1, LONG),
        _qos("gh200", WEEK, 1, 1, {"gh200": (1, 0)}),
        _qos("gpu-testing", "01:00:00", 5, 0.1, TESTING),
    ),
    name="alpine",
)

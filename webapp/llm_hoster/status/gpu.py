"""One GPU's figures, and which of a node's GPUs are the session's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Slurm's word in the variable for a job without GPUs.
NONE_OF_THEM = "NoDevFiles"


@dataclass(frozen=True)
class Gpu:
    """None is what the driver does not tell, as the use and the power of a MIG slice."""

    name: str
    use_percent: int | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    temperature_celsius: int | None
    power_watts: float | None


def visible_devices(environment: Mapping[str, str], variables: Sequence[str]) -> list[str] | None:
    """
    Give the numbers and UUIDs that the first of these variables names; None where all GPUs are the session's.

    In a Slurm job nothing but what Slurm names is ours: without device cgroups the others' GPUs can be seen too.
    """
    for variable in variables:
        if variable in environment:
            names = [name.strip() for name in environment[variable].split(",")]
            return [] if names in ([""], [NONE_OF_THEM]) else names
    return [] if "SLURM_JOB_ID" in environment else None


def chosen(names: Sequence[str] | None, uuids: Sequence[str]) -> list[int]:
    """
    Say which of the devices, by their UUIDs, are named.

    As CUDA reads its variable: a UUID may be cut short, and what comes after a name that nobody has does not count.
    """
    if names is None:
        return list(range(len(uuids)))
    indices = []
    for name in names:
        if name.isascii() and name.isdigit():
            found = [int(name)] if int(name) < len(uuids) else []
        else:
            found = [index for index, uuid in enumerate(uuids) if name and uuid.lower().startswith(name.lower())]
        if len(found) != 1:
            break
        indices += found
    return indices

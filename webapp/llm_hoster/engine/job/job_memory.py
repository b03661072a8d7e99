"""How much more memory the processes of this job may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

MIB = 2**20
KIB = 2**10
# A limit of 2^63 or so is cgroup v1's word for none.
NO_LIMIT = 2**60


def available_bytes(environment: Mapping[str, str], root: Path = Path("/")) -> int:
    """
    The least of what the node has left, the job's cgroups allow, and Slurm gave.

    Pages of files count as free: the kernel drops them when somebody needs the memory. `root` is for tests.
    """
    return max(0, min([_of_node(root), *_of_cgroups(root), *_of_slurm(environment)]))


def _of_node(root: Path) -> int:
    return _fields(root / "proc/meminfo")["MemAvailable:"] * KIB


def _of_slurm(environment: Mapping[str, str]) -> Iterator[int]:
    """Where Slurm keeps no cgroups, it kills what takes more than this. Zero stands for the whole node."""
    given = environment.get("SLURM_MEM_PER_NODE", "")
    if given.isdigit() and int(given) > 0:
        yield int(given) * MIB
    per_core, cores = environment.get("SLURM_MEM_PER_CPU", ""), environment.get("SLURM_CPUS_ON_NODE", "")
    if per_core.isdigit() and cores.isdigit() and int(per_core) * int(cores) > 0:
        yield int(per_core) * int(cores) * MIB


def _of_cgroups(root: Path) -> Iterator[int]:
    """What each cgroup above this process leaves: its limit, less what it uses that is no page of a file."""
    mounted = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for folder in _upwards(mounted, path):
                yield from _left(folder, "memory.max", "memory.current", ("file",), ("shmem",))
        elif "memory" in controllers.split(","):
            for folder in _upwards(mounted / "memory", path):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_cache",), ("total_shmem",))
                yield from _left(folder, *names)


def _upwards(mounted: Path, path: str) -> Iterator[Path]:
    """The cgroup and all that it lies in; a container sees its own as the root."""
    folder = mounted / path.lstrip("/")
    while folder != mounted:
        yield folder
        folder = folder.parent
    yield mounted


def _left(folder: Path, limit: str, usage: str, files: tuple[str, ...], memory: tuple[str, ...]) -> Iterator[int]:
    try:
        allowed, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        fields = _fields(folder / "memory.stat")
    except (OSError, ValueError):
        return
    if allowed.isdigit() and int(allowed) < NO_LIMIT:
        droppable = sum(fields.get(name, 0) for name in files) - sum(fields.get(name, 0) for name in memory)
        yield int(allowed) - used + max(0, droppable)


def _fields(path: Path) -> dict[str, int]:
    return {words[0]: int(words[1]) for words in map(str.split, _lines(path)) if len(words) > 1 and words[1].isdigit()}


def _lines(path: Path) -> list[str]:
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:
        return []

"""site.yml: the cluster as its admin describes it. Each field is explained in config/site.yml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_hoster.catalogue.arguments import wrong_argument
from llm_hoster.catalogue.compiled import Accelerator, Loader
from llm_hoster.catalogue.document import Document
from llm_hoster.catalogue.text import (
    AnyPath,
    Argument,
    Constraint,
    GresName,
    HostName,
    InterfaceName,
    Line,
    Name,
    NodePath,
    OptionalLine,
    SlurmName,
    Url,
    Variable,
)

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
TcpPort = Annotated[int, Field(ge=1024, le=65535)]

IDLE_MINUTES_MAX = 1440
CHAIN_MAX = 20
BYTES_PER_GB = 10**9
BYTES_PER_GIB = 2**30

# The runtime folder is node_dir/llmh-XXXXXXXX; a socket's path ends at 107 bytes, so the folder stays within 40.
NODE_DIR_LENGTH_MAX = 40 - len("/llmh-XXXXXXXX")


class Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PortRange(Part):
    first: TcpPort
    last: TcpPort


class Engine(Part):
    name: Name
    kind: Literal["venv", "module", "apptainer"]
    target: AnyPath | None = None
    accelerator: Accelerator
    args: list[Argument] = Field(default=[])
    env: dict[Variable, str] = Field(default={})
    # A model that is changed for another one keeps its weights in the job's memory, and comes back in seconds.
    sleep_mode: bool = False


class Network(Part):
    """How the nodes of one job reach each other."""

    interface: InterfaceName
    private: bool = False
    env: dict[Variable, str] = Field(default={})


class Partition(Part):
    name: SlurmName
    # These two are for people who plan with the file; no launch depends on them.
    nodes: Count | None = None
    local_disk_gb: Weight | None = None
    gpus_per_node: Annotated[int, Field(ge=0)]
    cores_per_node: Count
    memory_per_core_gb: Size
    max_hours: Count

    def memory_gib(self, cores: int) -> int:
        """Slurm's G is GiB; the site gives GB. Rounded down, so that Slurm never adds cores to hold the memory."""
        return int(cores * self.memory_per_core_gb * BYTES_PER_GB / BYTES_PER_GIB)

    def nodes_for(self, num_gpus: int) -> int:
        """Give the nodes that hold so many GPUs: one, or as many whole ones as are needed."""
        return -(-num_gpus // self.gpus_per_node) if self.gpus_per_node else 1


class Qos(Part):
    name: SlurmName
    max_hours: Count
    max_jobs: Count | None = None
    charge: Weight


class GpuLimit(Part):
    """How many GPUs of one type a QoS gives: to one user, and to all together. None = no such limit."""

    per_user: Count | None = None
    total: Count | None = None

    def allows(self, num_gpus: int) -> bool:
        return all(limit is None or num_gpus <= limit for limit in (self.per_user, self.total))


class GpuType(Part):
    name: Name
    title: Line
    partition: SlurmName
    gres: GresName | None
    constraint: Constraint | None = None
    memory_gib: Weight
    compute_capability: Annotated[float, Field(ge=1, le=20)] | None = None
    is_slice: bool = False
    su_weight: Weight
    num_gpus: Annotated[list[Count], Field(min_length=1)]
    max_nodes: Count = 1
    cores_per_gpu: Count
    cores_per_gpu_max: Count
    qos: dict[SlurmName, GpuLimit]
    engine: Name
    note: OptionalLine = ""


class Defaults(Part):
    model: Name
    gpu_type: Name
    num_gpus: Count
    hours: Count
    idle_minutes: Annotated[int, Field(ge=0, le=IDLE_MINUTES_MAX)] = 60


class Allocation(Part):
    """What the accounts that match a shell pattern may spend: the form shows a launch as a share of it."""

    accounts: Line
    su: Size
    period: Line


class Site(Part):
    name: Line
    cluster: SlurmName
    support_url: Url
    prefix: AnyPath
    app: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    cache_dir: AnyPath
    data_dir: AnyPath
    node_dir: NodePath
    proxy: Literal["rnode", "node"]
    ports: PortRange | None
    login_host: HostName | None = None
    hf_offline: bool
    account: Literal["auto_accounts", "bc_account"]
    allocations: list[Allocation] = Field(default=[])
    balance_command: list[Argument] = Field(default=[])
    portal_command: NodePath | None = None
    models: AnyPath = "models.yml"
    found_models: AnyPath | None = None
    shared_models: AnyPath | None = None
    network: Network | None = None
    stage_dir: NodePath | None = None
    loader: Loader | None = None
    media_hosts: list[HostName] = Field(default=[])
    audit_prompts: bool = False
    chat_titles: bool = True
    chain_max: Annotated[int, Field(ge=1, le=CHAIN_MAX)] = 4
    core_weight: Weight
    defaults: Defaults
    engines: Annotated[list[Engine], Field(min_length=1)]
    partitions: Annotated[list[Partition], Field(min_length=1)]
    qos: list[Qos]
    gpu_types: Annotated[list[GpuType], Field(min_length=1)]

    def partition_of(self, gpu_type: GpuType) -> Partition:
        return next(each for each in self.partitions if each.name == gpu_type.partition)

    def takes_whole_nodes(self, nodes: int) -> bool:
        """Whether a job on so many nodes must be alone there: what vLLM and Ray open would else be others' to reach."""
        return nodes > 1 and not (self.network and self.network.private)

    def cores_for(self, gpu_type: GpuType, num_gpus: int) -> int:
        """Give the cores of all nodes that a launch takes."""
        partition = self.partition_of(gpu_type)
        nodes = partition.nodes_for(num_gpus)
        whole = nodes * partition.cores_per_node
        return whole if self.takes_whole_nodes(nodes) else num_gpus * gpu_type.cores_per_gpu

    def accelerator_of(self, engine_name: str) -> Accelerator:
        return next(each.accelerator for each in self.engines if each.name == engine_name)


def check_site(document: Document[Site]) -> None:
    """Add the faults that only show when the parts of one site are held against each other."""
    site = document.value
    if site is None:
        return
    if len(site.node_dir) > NODE_DIR_LENGTH_MAX:
        document.fault(("node_dir",), site.node_dir, f"at most {NODE_DIR_LENGTH_MAX} characters (sockets lie below it)")
    if site.ports and site.ports.last < site.ports.first:
        document.fault(("ports", "last"), site.ports.last, f"a port not below the first, {site.ports.first}")
    for field, parts in (
        ("engines", site.engines),
        ("partitions", site.partitions),
        ("qos", site.qos),
        ("gpu_types", site.gpu_types),
    ):
        check_unique(document, field, [part.name for part in parts])
    for index, engine in enumerate(site.engines):
        if engine.kind != "venv" and engine.target is None:
            document.fault(("engines", index, "target"), None, f"the {engine.kind}'s name or path")
        wrong = wrong_argument(engine.args)
        if wrong is not None:
            document.fault(("engines", index, "args"), *wrong)
    for index, gpu_type in enumerate(site.gpu_types):
        _check_gpu_type(document, site, index, gpu_type)


def check_unique(document: Document[Any], field: str, names: list[str]) -> None:
    """Add a fault for each name that an earlier part of the same list has."""
    for index, name in enumerate(names):
        if name in names[:index]:
            document.fault((field, index, "name"), name, "a name that no earlier entry has")


def _check_gpu_type(document: Document[Site], site: Site, index: int, gpu_type: GpuType) -> None:
    here = ("gpu_types", index)
    engines = [engine.name for engine in site.engines]
    if gpu_type.engine not in engines:
        document.fault((*here, "engine"), gpu_type.engine, f"one of the engines: {', '.join(engines)}")
    _check_limits(document, site, index, gpu_type)
    if gpu_type.cores_per_gpu > gpu_type.cores_per_gpu_max:
        expected = f"at most cores_per_gpu_max, {gpu_type.cores_per_gpu_max}"
        document.fault((*here, "cores_per_gpu"), gpu_type.cores_per_gpu, expected)
    partition = next((each for each in site.partitions if each.name == gpu_type.partition), None)
    if partition is None:
        names = ", ".join(each.name for each in site.partitions)
        document.fault((*here, "partition"), gpu_type.partition, f"one of the partitions: {names}")
        return
    for position, num_gpus in enumerate(gpu_type.num_gpus):
        right = _right_count(gpu_type, partition, num_gpus)
        if right is not None:
            document.fault((*here, "num_gpus", position), num_gpus, right)
        elif partition.nodes_for(num_gpus) > 1 and site.network is None:
            expected = f"1, or `network` with the interface on which the nodes of {partition.name} reach each other"
            document.fault((*here, "max_nodes"), gpu_type.max_nodes, expected)
    if partition.memory_gib(min(gpu_type.num_gpus) * gpu_type.cores_per_gpu) < 1:
        expected = f"cores with 1 GiB of memory or more on {partition.name}, because Slurm reads 0 as all there is"
        document.fault((*here, "cores_per_gpu"), gpu_type.cores_per_gpu, expected)


def _check_limits(document: Document[Site], site: Site, index: int, gpu_type: GpuType) -> None:
    known_qos = [qos.name for qos in site.qos]
    for name, limit in gpu_type.qos.items():
        here = ("gpu_types", index, "qos", name)
        if name not in known_qos:
            document.fault(here, name, f"one of the qos: {', '.join(known_qos) or 'none is listed'}")
        if limit.per_user is not None and limit.total is not None and limit.per_user > limit.total:
            document.fault((*here, "per_user"), limit.per_user, f"at most the total, {limit.total}")


def _right_count(gpu_type: GpuType, partition: Partition, num_gpus: int) -> str | None:
    """Say what was expected of one entry of num_gpus, or None when it is right."""
    if gpu_type.gres is None:
        return None if num_gpus == 1 else "1, because gres is null"
    if gpu_type.is_slice and num_gpus > 1:
        return "1, because slices of a GPU cannot work together"
    per_node = partition.gpus_per_node
    if num_gpus > per_node and (gpu_type.max_nodes == 1 or per_node == 0):
        return f"at most {per_node}, the GPUs of one node of {partition.name}"
    if num_gpus > per_node and (num_gpus % per_node or num_gpus > gpu_type.max_nodes * per_node):
        return f"whole nodes of {per_node} GPUs, at most max_nodes of them, {gpu_type.max_nodes}"
    if gpu_type.qos and not any(limit.allows(num_gpus) for limit in gpu_type.qos.values()):
        return f"a number that one of its qos gives to one user: {', '.join(gpu_type.qos)}"
    if min(num_gpus, per_node) * gpu_type.cores_per_gpu > partition.cores_per_node:
        return f"no more than the {partition.cores_per_node} cores of one node of {partition.name} serve"
    return None

"""catalogue.json: site and models compiled, priced and judged. The portal, the node and the pages read only this.

`serve` imports this file first thing, so it needs neither YAML nor anything else that is slow to load.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Accelerator = Literal["cuda", "rocm", "cpu"]
# What a model does with a text: answer it, or make numbers of it.
Task = Literal["chat", "embed"]
Loader = Literal["runai_streamer", "fastsafetensors", "instanttensor"]
OTHER_MODEL = "other"  # what the form's field `model` says when the person types one


class Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SourceFile(Entry):
    file: str
    sha256: str


class Allocation(Entry):
    """What the accounts that match a shell pattern may spend in one period."""

    accounts: str
    su: float
    period: str


class Network(Entry):
    """How the nodes of one job reach each other. `env` is for NCCL, Gloo and UCX."""

    interface: str
    private: bool
    env: dict[str, str]


class SiteValues(Entry):
    name: str
    cluster: str
    # A link on the card: nothing but the web may be behind it.
    support_url: Annotated[str, Field(pattern=r"^https?://[^\s\"'<>]+$")]
    prefix: str
    cache_dir: str
    data_dir: str
    node_dir: str
    proxy: Literal["rnode", "node"]
    ports: Annotated[list[int], Field(min_length=2, max_length=2)] | None
    # Where people log in with ssh: the tunnel to a session begins there.
    login_host: str | None = None
    hf_offline: bool
    # Models for everybody, in the layout of the Hugging Face cache, which jobs only read.
    shared_models: str | None = None
    core_weight: float
    app: str
    portal_command: str | None
    balance_command: list[str]
    allocations: list[Allocation]
    network: Network | None = None
    # A folder on the node for a copy of the model; None = it is read from where it lies.
    stage_dir: str | None = None
    # None = vLLM's own.
    loader: Loader | None = None
    # Whose pictures and sounds a question may name by their address.
    media_hosts: list[str] = []
    # Whether a session's audit log has what was asked, and not only that.
    audit_prompts: bool = False
    # Whether the model is asked for the titles of conversations.
    chat_titles: bool = True


class Engine(Entry):
    name: str
    kind: Literal["venv", "module", "apptainer"]
    target: str
    accelerator: Accelerator
    args: list[str]
    env: dict[str, str]
    sleep_mode: bool = False


class Model(Entry):
    name: str
    title: str
    source: str
    licence: str
    group: str
    good_for: str
    # In memory, as published; 0 where the configuration of the model is not known.
    weights_gib: float
    # What the model itself can, or what models.yml allows of it.
    max_model_len: int | None
    engine: str | None
    args: list[str]
    task: Task = "chat"
    # Whether vLLM may run the program code that lies beside its weights.
    trust_remote_code: bool = False


class GpuType(Entry):
    name: str
    title: str
    memory_gib: float
    compute_capability: float | None
    is_slice: bool
    engine: str
    note: str


class OfferQos(Entry):
    name: str | None
    max_hours: int
    su_per_hour: float
    # How many sessions one person may have in a row: of two, one loads while the other still serves.
    chain_max: int = 1


class Offer(Entry):
    """One place: a GPU type and a number of GPUs, with what Slurm is asked for and what it costs."""

    partition: str
    gres: str | None  # of each node
    constraint: str | None
    nodes: Annotated[int, Field(ge=1)]
    cores: int  # of each node
    memory_gib: Annotated[int, Field(ge=1)]  # of each node
    # Whether nobody else may be on its nodes.
    exclusive: bool = False
    qos: Annotated[list[OfferQos], Field(min_length=1)]


class Refusal(Entry):
    """A key of `sentences`, and the texts for its places."""

    kind: str
    values: dict[str, str]


class Verdict(Entry):
    """Whether a model fits a place in one variant (quantization/preset). Memory is that of the fullest GPU."""

    refusal: Refusal | None = None
    tight: bool = False
    # How often the GPUs serve the model, each time on equally many: vLLM's data parallelism.
    replicas: int = 1
    weights_gib: float = 0.0
    overhead_gib: float = 0.0
    kv_cache_gib: float = 0.0
    max_model_len: int = 0
    # Conversations at once, of all replicas: one number for each of `context_lengths` up to max_model_len, and one for
    # that itself.
    people: list[int] = []

    @property
    def fits(self) -> bool:
        return self.refusal is None


class Option(Entry):
    """A value of a field of the form, in the words of the form."""

    name: str
    title: str


class Catalogue(Entry):
    format: Literal[2]
    made_from: list[SourceFile]
    # What form.yml says in its field of this name; `configure` knows it when the form is written.
    form_id: str = ""
    site: SiteValues
    engines: list[Engine]
    models: list[Model]
    # Names of models.yml that fit nowhere on this site.
    left_out: list[str] = []
    gpu_types: list[GpuType]
    # By GPU type and number of GPUs.
    offers: dict[str, dict[str, Offer]]
    # [GPU type, number of GPUs], the cheapest first.
    places: list[Annotated[tuple[str, str], Field(strict=False)]]
    quantizations: list[Option]
    presets: list[Option]
    context_lengths: list[int]
    idle_minutes_max: int
    sentences: dict[str, str]
    # By model, GPU type, number of GPUs and "quantization/preset".
    fits: dict[str, dict[str, dict[str, dict[str, Verdict]]]]

    def verdict(self, model: str, gpu_type: str, num_gpus: str, variant: str) -> Verdict:
        return self.fits[model][gpu_type][num_gpus][variant]


def find_qos(offer: Offer, hours: int, name: str = "") -> OfferQos | None:
    """Take the first QoS, or the named one, that allows the hours; None when none does."""
    return next((qos for qos in offer.qos if qos.max_hours >= hours and name in ("", qos.name)), None)

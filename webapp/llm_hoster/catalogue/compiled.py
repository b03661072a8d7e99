"""catalogue.json: site and models compiled, priced and matched. The portal, the node and the pages read only this.

`serve` imports this file first thing, so it needs neither YAML nor anything else that is slow to load.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_hoster.errors import ChoiceError

HOURS = re.compile(r"[1-9][0-9]{0,3}")
SHOWN_LENGTH = 60


class Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SourceFile(Entry):
    file: str
    sha256: str


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
    hf_offline: bool
    core_weight: float
    app: str


class Engine(Entry):
    name: str
    kind: Literal["venv", "module", "apptainer"]
    target: str
    accelerator: Literal["cpu", "cuda", "rocm"]
    args: list[str]
    env: dict[str, str]


class Model(Entry):
    name: str
    title: str
    source: str
    licence: str
    good_for: str
    weights_gib: float
    # What the offers went by, so that a session can say why its model was allowed on this GPU.
    required_gpu_memory_gib: float
    max_model_len: int | None
    engine: str | None
    args: list[str]


class GpuType(Entry):
    name: str
    title: str
    memory_gib: float
    engine: str
    note: str


class OfferQos(Entry):
    name: str | None
    max_hours: int
    su_per_hour: float


class Offer(Entry):
    partition: str
    gres: str | None
    cores: int
    memory_gib: Annotated[int, Field(ge=1)]
    models: list[str]
    qos: Annotated[list[OfferQos], Field(min_length=1)]


@dataclass(frozen=True)
class Choice:
    """What one launch gets: the values of the form, looked up."""

    model: Model
    gpu_type: GpuType
    num_gpus: int
    hours: int
    offer: Offer
    qos: OfferQos
    engine: Engine


class Catalogue(Entry):
    format: Literal[1]
    made_from: list[SourceFile]
    # What form.yml says in its field of this name; `configure` knows it when the form is written.
    form_id: str = ""
    site: SiteValues
    engines: list[Engine]
    models: list[Model]
    gpu_types: list[GpuType]
    offers: dict[str, dict[str, Offer]]

    def choose(self, *, model: str, gpu_type: str, num_gpus: str, hours: str) -> Choice:
        """Look the values of the form up; raise ChoiceError with the sentence that submit.yml.erb gives, word by word.

        Both check in the same order and name what is offered instead, so a person can correct the form from it.
        """
        chosen_type = self._find_gpu_type(gpu_type)
        offer = self._find_offer(gpu_type, num_gpus)
        chosen_model = self._find_model(model)
        if model not in offer.models:
            raise ChoiceError(
                f"Model {model} does not run on {num_gpus} x {gpu_type}: choose one of {self._places(model)} for it."
            )
        qos = find_qos(offer, hours)
        if qos is None:
            longest = max(each.max_hours for each in offer.qos)
            raise ChoiceError(
                f"Number of hours {shown(hours)} is not possible on {num_gpus} x {gpu_type}: "
                f"choose a whole number from 1 to {longest}."
            )
        engine_name = chosen_model.engine or chosen_type.engine
        return Choice(
            model=chosen_model,
            gpu_type=chosen_type,
            num_gpus=int(num_gpus),
            hours=int(hours),
            offer=offer,
            qos=qos,
            engine=next(each for each in self.engines if each.name == engine_name),
        )

    def _find_gpu_type(self, name: str) -> GpuType:
        for gpu_type in self.gpu_types:
            if gpu_type.name == name:
                return gpu_type
        names = ", ".join(each.name for each in self.gpu_types)
        raise ChoiceError(f"GPU type {shown(name)} is not offered: choose one of {names}.")

    def _find_offer(self, gpu_type: str, num_gpus: str) -> Offer:
        offers = self.offers[gpu_type]
        if num_gpus not in offers:
            counts = ", ".join(offers)
            raise ChoiceError(
                f"Number of GPUs {shown(num_gpus)} is not offered for {gpu_type}: choose one of {counts}."
            )
        return offers[num_gpus]

    def _find_model(self, name: str) -> Model:
        for model in self.models:
            if model.name == name:
                return model
        names = ", ".join(each.name for each in self.models)
        raise ChoiceError(f"Model {shown(name)} is not in the catalogue: choose one of {names}.")

    def _places(self, model: str) -> str:
        return ", ".join(
            f"{num_gpus} x {gpu_type}"
            for gpu_type, offers in self.offers.items()
            for num_gpus, offer in offers.items()
            if model in offer.models
        )


def find_qos(offer: Offer, hours: str) -> OfferQos | None:
    """Take the first QoS that allows the hours; None when none does, or when `hours` is no whole number."""
    if not HOURS.fullmatch(hours):
        return None
    return next((qos for qos in offer.qos if qos.max_hours >= int(hours)), None)


def shown(value: str) -> str:
    """Quote a value that a stranger may have typed, as Ruby's JSON does, and cut it to a length fit for an alert."""
    return json.dumps(value[:SHOWN_LENGTH], ensure_ascii=False)

"""One choice of the form, looked up in the catalogue: on the portal as a check, on the node as what to serve."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from llm_hoster.catalogue.compiled import (
    OTHER_MODEL,
    Catalogue,
    Engine,
    GpuType,
    Model,
    Offer,
    OfferQos,
    Option,
    Verdict,
    find_qos,
)
from llm_hoster.catalogue.sentences import fill, shown
from llm_hoster.errors import ChoiceError

WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
HUGGING_FACE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
FOLDER = re.compile(r"/[^\x00-\x1f\x7f]{0,1023}")
SLURM_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})?")
AUTO = "auto"  # of the context length: as long as fits

PlaceNames = tuple[str, str]  # GPU type and number of GPUs, as the form sends them
VariantNames = tuple[str, str]  # quantisation and preset, likewise


@dataclass(frozen=True)
class FormValues:
    """What the form sends, as text. A field that was not sent has its default."""

    model: str = ""
    typed_model: str = ""
    gpu_type: str = ""
    num_gpus: str = ""
    bc_num_hours: str = ""
    qos: str = ""
    account: str = ""
    reservation: str = ""
    context_length: str = AUTO
    quantization: str = "none"
    preset: str = "interactive"
    lora_folder: str = ""
    idle_minutes: str = "0"
    chain_length: str = "1"


@dataclass(frozen=True)
class Choice:
    """What one launch gets: the values of the form, looked up."""

    values: FormValues
    model: Model
    gpu_type: GpuType
    num_gpus: int
    hours: int
    offer: Offer
    qos: OfferQos
    engine: Engine
    # None for a model that the person typed: the node finds out before vLLM starts.
    verdict: Verdict | None
    context_length: int | None
    quantization: str
    preset: str
    lora_folder: str
    idle_minutes: int
    # How many sessions in a row, this one counted.
    chain_length: int

    @property
    def replicas(self) -> int:
        return 1 if self.verdict is None else self.verdict.replicas


def choose(catalogue: Catalogue, values: FormValues) -> Choice:
    """Look the values up; raise ChoiceError with the sentence that Launch gives, word by word.

    Both check in the same order and name what is offered instead, so a person can correct the form from it.
    """
    return _Lookup(catalogue, values).choice()


class _Lookup:
    def __init__(self, catalogue: Catalogue, values: FormValues) -> None:
        self.catalogue = catalogue
        self.values = values

    def choice(self) -> Choice:
        values = self.values
        gpu_type = self._gpu_type()
        offer = self._offer(gpu_type)
        model = self._model()
        quantization = self._option("quantization", self.catalogue.quantizations)
        preset = self._option("preset", self.catalogue.presets)
        context_length = self._context_length()
        verdict = None
        if values.model != OTHER_MODEL:
            verdict = self._verdict(model, context_length)
        qos = self._qos(offer)
        self._check_chain(qos)
        self._check_texts()
        engine_name = model.engine or gpu_type.engine
        return Choice(
            values=values,
            model=model,
            gpu_type=gpu_type,
            num_gpus=int(values.num_gpus),
            hours=int(values.bc_num_hours),
            offer=offer,
            qos=qos,
            engine=next(each for each in self.catalogue.engines if each.name == engine_name),
            verdict=verdict,
            context_length=context_length,
            quantization=quantization,
            preset=preset,
            lora_folder=values.lora_folder,
            idle_minutes=int(values.idle_minutes),
            chain_length=int(values.chain_length),
        )

    def _gpu_type(self) -> GpuType:
        for gpu_type in self.catalogue.gpu_types:
            if gpu_type.name == self.values.gpu_type:
                return gpu_type
        raise self._refusal(
            "gpu_type",
            value=shown(self.values.gpu_type),
            offered=_listed(each.title for each in self.catalogue.gpu_types),
        )

    def _offer(self, gpu_type: GpuType) -> Offer:
        offers, count = self.catalogue.offers[gpu_type.name], self.values.num_gpus
        if count in offers:
            return offers[count]
        if gpu_type.is_slice and WHOLE_NUMBER.fullmatch(count) and int(count) > 1:
            raise self._refusal("slices", gpu_type=gpu_type.title, value=count)
        raise self._refusal("num_gpus", value=shown(count), gpu_type=gpu_type.title, offered=_listed(offers))

    def _model(self) -> Model:
        name, typed = self.values.model, self.values.typed_model
        if name == OTHER_MODEL:
            if not (HUGGING_FACE_ID.fullmatch(typed) or FOLDER.fullmatch(typed)):
                raise self._refusal("typed_model", value=shown(typed))
            return typed_model(typed)
        for model in self.catalogue.models:
            if model.name == name:
                if typed:
                    raise self._refusal("typed_model_without_other", value=shown(typed), model=model.title)
                return model
        offered = [*(each.title for each in self.catalogue.models), self.catalogue.sentences["other_model"]]
        raise self._refusal("model", value=shown(name), offered=_listed(offered))

    def _option(self, field: str, options: list[Option]) -> str:
        value: str = getattr(self.values, field)
        if value not in [each.name for each in options]:
            offered = _listed(_short_title(each) for each in options)
            raise self._refusal(field, value=shown(value), offered=offered)
        return value

    def _context_length(self) -> int | None:
        value = self.values.context_length
        offered = [AUTO, *map(str, self.catalogue.context_lengths)]
        if value not in offered:
            raise self._refusal("context_length", value=shown(value), offered=_listed(offered))
        return None if value == AUTO else int(value)

    def _verdict(self, model: Model, context_length: int | None) -> Verdict:
        values, sentences = self.values, self.catalogue.sentences
        fits = self.catalogue.fits[model.name]

        def look_up(place: PlaceNames, variant: VariantNames) -> Verdict:
            return fits[place[0]][place[1]]["/".join(variant)]

        def holds(place: PlaceNames, variant: VariantNames) -> bool:
            if place[1] not in fits.get(place[0], {}):
                return False  # The node knows other models at the session's own place only.
            verdict = look_up(place, variant)
            return verdict.fits and (context_length or 0) <= verdict.max_model_len

        place, variant = (values.gpu_type, values.num_gpus), (values.quantization, values.preset)
        verdict = look_up(place, variant)
        if holds(place, variant):
            return verdict
        advice = advise(self.catalogue, values, holds, has_replicas=verdict.replicas > 1)
        texts = {"model": model.title, "place": self._place(), "advice": advice}
        if verdict.refusal:
            reason = fill(sentences[verdict.refusal.kind], verdict.refusal.values)
            raise self._refusal("does_not_fit", reason=reason, **texts)
        longest = str(verdict.max_model_len)
        raise self._refusal("context_too_long", value=str(context_length), longest=longest, **texts)

    def _qos(self, offer: Offer) -> OfferQos:
        name = self.values.qos
        allowed = [each for each in offer.qos if name in ("", each.name)]
        if not allowed:
            offered = _listed(each.name for each in offer.qos if each.name) or "none"
            raise self._refusal("qos", value=shown(name), place=self._place(), offered=offered)
        qos = _serving_qos(offer, self.values)
        if qos is None:
            longest = max(allowed, key=lambda each: each.max_hours)
            texts = {
                "value": shown(self.values.bc_num_hours),
                "place": self._place(),
                "longest": str(longest.max_hours),
            }
            if longest.name is None:
                raise self._refusal("hours", **texts)
            raise self._refusal("hours_of_qos", qos=longest.name, **texts)
        return qos

    def _check_chain(self, qos: OfferQos) -> None:
        value = self.values.chain_length
        if WHOLE_NUMBER.fullmatch(value) and 1 <= int(value) <= qos.chain_max:
            return
        kind = "chain_length" if qos.chain_max > 1 else "chain_of_one"
        raise self._refusal(kind, value=shown(value), place=self._place(), longest=str(qos.chain_max))

    def _check_texts(self) -> None:
        values = self.values
        for field in ("account", "reservation"):
            if not SLURM_NAME.fullmatch(getattr(values, field)):
                raise self._refusal(field, value=shown(getattr(values, field)))
        if values.lora_folder and not FOLDER.fullmatch(values.lora_folder):
            raise self._refusal("lora_folder", value=shown(values.lora_folder))
        longest = self.catalogue.idle_minutes_max
        if not WHOLE_NUMBER.fullmatch(values.idle_minutes) or int(values.idle_minutes) > longest:
            raise self._refusal("idle_minutes", value=shown(values.idle_minutes), longest=str(longest))

    def _place(self) -> str:
        return place_title(self.catalogue, (self.values.gpu_type, self.values.num_gpus))

    def _refusal(self, kind: str, **places: str) -> ChoiceError:
        return ChoiceError(fill(self.catalogue.sentences[kind], places))


def advise(
    catalogue: Catalogue,
    values: FormValues,
    holds: Callable[[PlaceNames, VariantNames], bool],
    *,
    has_replicas: bool = False,
) -> str:
    """
    Name what Launch would accept: another place, else another variant here, else both; of places the cheapest.

    Where it would be replicas here, another preset comes first, with which the same GPUs share one model.
    """
    here, own = (values.gpu_type, values.num_gpus), (values.quantization, values.preset)
    places = _served_places(catalogue, values)
    variants = variants_by_change(
        [each.name for each in catalogue.quantizations], [each.name for each in catalogue.presets], own
    )
    tries = [
        *((here, (own[0], each.name)) for each in catalogue.presets if has_replicas and here in places),
        *((place, own) for place in places),
        *((here, variant) for variant in variants if here in places),
        *((place, variant) for variant in variants for place in places),
    ]
    found = next((each for each in tries if holds(*each)), None)
    if found is None:
        return catalogue.sentences["no_advice"]
    place, variant = found
    kind = "advice" if variant == own else "advice_here" if place == here else "advice_elsewhere"
    texts = {"place": place_title(catalogue, place), "variant": _variant_text(catalogue, variant, own)}
    return fill(catalogue.sentences[kind], texts)


def place_title(catalogue: Catalogue, place: PlaceNames) -> str:
    gpu_type, num_gpus = place
    return f"{num_gpus} x {next(each.title for each in catalogue.gpu_types if each.name == gpu_type)}"


def _served_places(catalogue: Catalogue, values: FormValues) -> list[PlaceNames]:
    """Give the places that the hours and the QoS of the form leave, the cheapest first."""
    prices = {}
    for gpu_type, num_gpus in catalogue.places:
        qos = _serving_qos(catalogue.offers[gpu_type][num_gpus], values)
        if qos is not None:
            prices[gpu_type, num_gpus] = qos.su_per_hour
    return sorted(prices, key=prices.__getitem__)


def _serving_qos(offer: Offer, values: FormValues) -> OfferQos | None:
    hours = values.bc_num_hours
    is_count = WHOLE_NUMBER.fullmatch(hours) and hours != "0"
    return find_qos(offer, int(hours), values.qos) if is_count else None


def variants_by_change(quantizations: Iterable[str], presets: Iterable[str], own: VariantNames) -> list[VariantNames]:
    """Give all variants: one's own, those in another quantisation, in another preset, in both."""
    return sorted(itertools.product(quantizations, presets), key=lambda each: (each[1] != own[1], each[0] != own[0]))


def _variant_text(catalogue: Catalogue, variant: VariantNames, own: VariantNames) -> str:
    """Name what of a variant is not one's own."""
    kinds = {"advice_quantization": catalogue.quantizations, "advice_preset": catalogue.presets}
    return _listed(
        fill(catalogue.sentences[kind], {"title": _short_title(each)})
        for (kind, options), name, chosen in zip(kinds.items(), variant, own, strict=True)
        for each in options
        if each.name == name != chosen
    )


def _short_title(option: Option) -> str:
    """Titles say what an option is, and after a colon what it does."""
    return option.title.partition(":")[0]


def typed_model(source: str) -> Model:
    """Make a model of what a person typed: its name is the last part, as a name must be."""
    name = re.sub(r"[^a-z0-9._-]+", "-", PurePosixPath(source).name.lower()).lstrip("0123456789._-") or "model"
    return Model(
        name=name[:63],
        title=PurePosixPath(source).name,
        source=source,
        licence="unknown",
        group="",
        good_for="",
        weights_gib=0.0,
        max_model_len=None,
        engine=None,
        args=[],
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)

"""Models held against places: the one judgement behind the form's table, `llm-hoster fit` and Launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from llm_hoster.catalogue.compiled import Accelerator, Refusal, Verdict
from llm_hoster.catalogue.model_list import ListedModel
from llm_hoster.catalogue.models import ModelEntry
from llm_hoster.catalogue.preset import AS_PUBLISHED, PRESETS
from llm_hoster.catalogue.site import BYTES_PER_GIB, GpuType, Site
from llm_hoster.catalogue.variant import Variant
from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.configuration import CONFIG, Configuration, read_data_file, read_folder
from llm_hoster.fit.fit import QUANTIZATIONS, SENTENCES, Fit
from llm_hoster.fit.fit import Refusal as Reason

Fits = dict[str, dict[str, dict[str, dict[str, Verdict]]]]

CONTEXT_LENGTHS = (4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576)
QUANTIZATION_NAMES = (AS_PUBLISHED, *QUANTIZATIONS)
# What the form offers of it: the names differ in how exact they are, and few people have an opinion on that.
FORM_QUANTIZATIONS = {
    AS_PUBLISHED: "As published",
    "fp8_per_tensor": "FP8 while loading: half the memory of 16 bits, nearly the same answers",
}
# In catalogue.json they stand beside the sentences about the choice itself, some of which have the same names.
FIT_SENTENCES = {f"fit_{kind}": sentence for kind, sentence in SENTENCES.items()} | {
    "fit_accelerator": "does not run on this kind of GPU",
    "fit_divide": "can be shared out to %{offered} GPUs only",
}
# Below either of these a session works, but a person will notice: the form says that it is tight.
TIGHT_CONTEXT = 8192
TIGHT_PEOPLE = 4


@dataclass(frozen=True)
class Subject:
    """What is judged: a model with the limits that models.yml sets, and its own description where that is known."""

    model: ModelEntry
    configuration: Configuration | None
    # In models.yml. What a person types instead is looked at on the node, which makes no replicas of it.
    is_listed: bool = True

    @property
    def weights_gib(self) -> float:
        """As published; 0 when nothing is known."""
        if self.configuration is None:
            return 0.0
        return round(self.configuration.published_bytes / BYTES_PER_GIB, 2)

    def require_configuration(self) -> Configuration:
        if self.configuration is None:
            expected = "models.yml needs a `config` for it. Write one with llm-hoster models add"
            raise ArchitectureError(f"{self.model.name}: nothing is known of its architecture, {expected}.")
        return self.configuration


@dataclass(frozen=True)
class Place:
    """A number of GPUs of one type of the site."""

    site: Site
    gpu_type: GpuType
    num_gpus: int

    @property
    def accelerator(self) -> Accelerator:
        return self.site.accelerator_of(self.gpu_type.engine)

    @property
    def nodes(self) -> int:
        return self.site.partition_of(self.gpu_type).nodes_for(self.num_gpus)

    def of_replica(self, replicas: int) -> Place:
        """Give the place that one of the replicas has."""
        return replace(self, num_gpus=self.num_gpus // replicas)

    def refusal(self, subject: Subject) -> Refusal | None:
        """Say why this place is none for the subject, memory apart."""
        accelerator, model = self.accelerator, subject.model
        own = self.site.accelerator_of(model.engine) if model.engine else accelerator
        if accelerator not in model.accelerators or own != accelerator:
            return Refusal(kind="fit_accelerator", values={})
        if model.num_gpus is not None and self.num_gpus not in model.num_gpus:
            return Refusal(kind="fit_divide", values={"offered": ", ".join(map(str, model.num_gpus))})
        return None

    def fit(self, subject: Subject, variant: Variant) -> Fit:
        """Judge the memory; raise ArchitectureError when the model cannot be counted."""
        configuration = subject.require_configuration()
        engine = next(each for each in self.site.engines if each.name == (subject.model.engine or self.gpu_type.engine))
        arguments = [*engine.args, *subject.model.args]
        return variant.judge(configuration, self.gpu_type, self.accelerator, self.num_gpus, self.nodes, arguments)


def judge_all(site: Site, subjects: Mapping[str, Subject]) -> Fits:
    """Hold each model against each place in each variant; leave out the models that fit nowhere."""
    tables = {name: _table(site, subject) for name, subject in subjects.items()}
    return {name: table for name, table in tables.items() if _is_offered(table)}


def _table(site: Site, subject: Subject) -> dict[str, dict[str, dict[str, Verdict]]]:
    return {
        gpu_type.name: {
            str(num_gpus): {
                f"{quantization}/{preset}": verdict(
                    Place(site, gpu_type, num_gpus), subject, Variant(quantization, preset)
                )
                for quantization in FORM_QUANTIZATIONS
                for preset in PRESETS
            }
            for num_gpus in gpu_type.num_gpus
        }
        for gpu_type in site.gpu_types
    }


def _is_offered(table: dict[str, dict[str, dict[str, Verdict]]]) -> bool:
    return any(each.fits for counts in table.values() for variants in counts.values() for each in variants.values())


def verdict(place: Place, subject: Subject, variant: Variant) -> Verdict:
    """Judge one subject at one place, in the words and units of the form."""
    refusal = place.refusal(subject)
    if refusal:
        return Verdict(refusal=refusal)
    if subject.configuration is None or place.accelerator == "cpu":
        # Without a GPU the memory is the job's, and the person who set the site up knows it.
        return Verdict(max_model_len=subject.model.max_model_len or _native_max_model_len(subject))
    replicas = _count_replicas(place, subject, variant)
    fit = place.of_replica(replicas).fit(subject, variant)
    if fit.refusal:
        return Verdict(refusal=refusal_of(fit.refusal))
    longest = _longest(subject, fit)
    contexts = [*(each for each in CONTEXT_LENGTHS if each < longest), longest]
    return Verdict(
        tight=_is_tight(subject, fit),
        replicas=replicas,
        weights_gib=_gib(fit.weights_bytes_per_gpu),
        overhead_gib=_gib(fit.overhead_bytes_per_gpu),
        kv_cache_gib=_gib(fit.kv_cache_bytes_available),
        max_model_len=longest,
        people=[replicas * fit.people_at(each) for each in contexts],
    )


def _count_replicas(place: Place, subject: Subject, variant: Variant) -> int:
    """Say how often the GPUs of one node serve the model: each time on as few of them as it fits on comfortably."""
    architecture = subject.require_configuration().architecture
    # vLLM spreads experts over its replicas and makes these wait for each other: that is another arithmetic. Whether
    # there are any is not known of an estimate.
    if architecture.is_mixture or architecture.is_estimate or not subject.is_listed:
        return 1
    if not PRESETS[variant.preset].has_replicas or place.nodes > 1:
        return 1
    for replicas in range(place.num_gpus, 1, -1):
        if place.num_gpus % replicas == 0:
            part = place.of_replica(replicas)
            fit = None if part.refusal(subject) else part.fit(subject, variant)
            if fit is not None and fit.fits and not _is_tight(subject, fit):
                return replicas
    return 1


def _longest(subject: Subject, fit: Fit) -> int:
    return min(fit.max_model_len, subject.model.max_model_len or fit.max_model_len)


def _is_tight(subject: Subject, fit: Fit) -> bool:
    longest = _longest(subject, fit)
    is_short = longest < min(TIGHT_CONTEXT, fit.native_max_model_len)
    return is_short or fit.people_at(min(TIGHT_CONTEXT, longest)) < TIGHT_PEOPLE


def refusal_of(reason: Reason) -> Refusal:
    return Refusal(kind=f"fit_{reason.kind}", values=dict(reason.values))


def _native_max_model_len(subject: Subject) -> int:
    if subject.configuration is None:
        return CONTEXT_LENGTHS[-1]
    return subject.configuration.architecture.native_max_model_len


def _gib(size: int) -> float:
    return round(size / BYTES_PER_GIB, 1)


def read_subjects(site: Site, models: list[ListedModel]) -> dict[str, Subject]:
    """Read what each model says of itself; add a fault where a GPU of the site would need it and it is not there."""
    needs_memory = any(site.accelerator_of(gpu_type.engine) != "cpu" for gpu_type in site.gpu_types)
    subjects = {}
    for listed in models:
        model, configuration = listed.entry, None
        try:
            configuration = read_configuration(model)
            if configuration is not None and needs_memory:
                _ = configuration.architecture  # raises when it cannot be counted
            elif needs_memory:
                listed.fault("config", "a file in config/configs/: write it with `llm-hoster models add`")
        except ArchitectureError as error:
            listed.fault("config", f"a known model. {error}")
        subjects[model.name] = Subject(model, configuration)
    return subjects


def read_configuration(model: ModelEntry) -> Configuration | None:
    """Read a model's data file, or its folder where that can be seen from here; None where neither is named."""
    if model.config is not None:
        return read_data_file(Path(model.config))
    if model.source.startswith("/") and (Path(model.source) / CONFIG).is_file():
        return read_folder(Path(model.source))
    return None

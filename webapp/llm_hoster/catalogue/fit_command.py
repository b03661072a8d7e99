"""`llm-hoster fit`: whether a model fits on some GPUs of the site, before anybody waits for them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from llm_hoster.catalogue.app_dir import find_app_dir
from llm_hoster.catalogue.app_names import GPU_TYPE, MODEL
from llm_hoster.catalogue.choice import FOLDER, HUGGING_FACE_ID, variants_by_change
from llm_hoster.catalogue.compiled import Verdict
from llm_hoster.catalogue.compiler import load_site
from llm_hoster.catalogue.model_list import load_models
from llm_hoster.catalogue.models import ModelEntry
from llm_hoster.catalogue.offers import compile_offers, places_by_price
from llm_hoster.catalogue.preset import AS_PUBLISHED, PRESETS
from llm_hoster.catalogue.price import su_text
from llm_hoster.catalogue.price_command import find_gpu_type
from llm_hoster.catalogue.sentences import fill, replicas_text, shown
from llm_hoster.catalogue.site import BYTES_PER_GIB, Site
from llm_hoster.catalogue.variant import Variant
from llm_hoster.catalogue.verdicts import (
    FIT_SENTENCES,
    FORM_QUANTIZATIONS,
    QUANTIZATION_NAMES,
    Place,
    Subject,
    read_configuration,
    verdict,
)
from llm_hoster.errors import ChoiceError
from llm_hoster.fit.configuration import CONFIG, Configuration, read_folder
from llm_hoster.fit.fit import Fit
from llm_hoster.hub_cache import caches_of, find_in_caches


@click.command()
@click.option(
    "--model", "name", type=MODEL, required=True, help="A name of models.yml, a Hugging Face id in the cache, a folder."
)
@click.option("--gpu-type", type=GPU_TYPE, required=True, help="Name of a GPU type in site.yml.")
@click.option("--num-gpus", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--max-model-len", type=click.IntRange(min=1), help="Tokens; default: as long as fits.")
@click.option("--quantization", type=click.Choice(QUANTIZATION_NAMES), default=AS_PUBLISHED, show_default=True)
@click.option("--preset", type=click.Choice(list(PRESETS)), default=next(iter(PRESETS)), show_default=True)
@click.option("--site", "site_path", type=click.Path(path_type=Path), help="Default: config/site.yml of the app.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object alone.")
def fit(
    name: str,
    gpu_type: str,
    num_gpus: int,
    max_model_len: int | None,
    quantization: str,
    preset: str,
    site_path: Path | None,
    as_json: bool,
) -> None:
    """Say whether a model fits on so many GPUs of a type, how long its context can be, and where it is cheapest."""
    site_path = site_path or find_app_dir() / "config" / "site.yml"
    site = load_site(site_path)
    subject = find_subject(name, site, site_path)
    place = Place(site, find_gpu_type(site, gpu_type), num_gpus)
    answer = judge_subject(subject, place, Variant(quantization, preset, max_model_len))
    click.echo(json.dumps(answer.as_json()) if as_json else answer.as_text())


@dataclass(frozen=True)
class Answer:
    """`reason` is empty when it fits. `suggestion` is the cheapest place that holds the model, None when this is it."""

    subject: Subject
    place: Place
    reason: str
    verdict: Verdict
    fit: Fit | None
    suggestion: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        fit = self.fit
        return {
            "fits": not self.reason,
            "reason": self.reason,
            "weights_bytes": fit.weights_bytes if fit else 0,
            "kv_cache_bytes_per_token": fit.kv_cache_bytes_per_token if fit else 0,
            "kv_cache_bytes_available": fit.kv_cache_bytes_available if fit else 0,
            "max_model_len": self.verdict.max_model_len,
            "replicas": self.verdict.replicas,
            "suggestion": self.suggestion,
            "is_estimate": fit is not None and fit.is_estimate,
        }

    def as_text(self) -> str:
        where = f"{self.place.num_gpus} x {self.place.gpu_type.name}"
        lines = [f"{self.subject.model.name} on {where} {self.reason}."]
        if self.fit and not self.reason and self.place.accelerator == "cpu":
            lines = [f"{self.subject.model.name} runs on {where}: without a GPU the memory of the job is not judged."]
        elif self.fit and not self.reason:
            gib = self.fit.weights_bytes_per_gpu / BYTES_PER_GIB
            replicas = self.verdict.replicas
            shared = replicas_text(replicas, self.place.num_gpus)
            where += f" as {shared}" if shared else ""
            lines = [
                f"{self.subject.model.name} fits on {where}: weights {gib:.1f} GiB on each GPU, "
                f"{self.fit.kv_cache_bytes_available / BYTES_PER_GIB:.1f} GiB for conversations.",
                f"Longest context: {self.verdict.max_model_len} tokens "
                f"({replicas * self.fit.people_at(self.verdict.max_model_len)} at once at that length).",
            ]
        if self.fit and self.fit.is_estimate:
            lines.append("Its architecture is not one that is known layer by layer: this is an estimate.")
        if self.place.gpu_type.note:
            lines.append(f"About this GPU type: {self.place.gpu_type.note}.")
        if self.suggestion:
            place = f"{self.suggestion['num_gpus']} x {self.suggestion['gpu_type']}"
            if self.suggestion["quantization"] != AS_PUBLISHED:
                place += f" with {self.suggestion['quantization']}"
            lines.append(
                f"Cheapest place that holds it: {place}, {su_text(self.suggestion['su_per_hour'])} SU per hour."
            )
        return "\n".join(lines)


def find_subject(name: str, site: Site, site_path: Path) -> Subject:
    """Take a model of models.yml, a folder, or a Hugging Face id of a cache; raise ChoiceError when it is none."""
    for model in load_models(site, site_path):
        if name in (model.name, model.source):
            return Subject(model, read_configuration(model))
    if FOLDER.fullmatch(str(Path(name).absolute())) and Path(name).is_dir():
        return unlisted(name, read_folder(Path(name)))
    if not HUGGING_FACE_ID.fullmatch(name):
        models = site_path.parent / site.models
        raise ChoiceError(f"{shown(name)} is neither a model of {models}, nor a folder, nor a Hugging Face id.")
    caches = caches_of(site.cache_dir, os.environ)
    folder = find_in_caches(name, caches, CONFIG)
    if folder is not None:
        return unlisted(name, read_folder(folder))
    known = " or ".join(map(str, caches))
    raise ChoiceError(f"{name} is not in the Hugging Face cache ({known}): fetch its config.json, or name a folder.")


def unlisted(source: str, configuration: Configuration) -> Subject:
    """Make a subject of a model that models.yml does not list."""
    entry = ModelEntry.model_construct(name=source, source=source, max_model_len=None)
    return Subject(entry, configuration, is_listed=False)


def judge_subject(subject: Subject, place: Place, variant: Variant) -> Answer:
    """Judge as the form does; `variant` may wish for a context."""
    found = verdict(place, subject, replace(variant, max_model_len=None))
    fit = None if place.refusal(subject) else place.of_replica(found.replicas).fit(subject, variant)
    wanted = variant.max_model_len or 0
    reason = ""
    if found.refusal:
        reason = fill(FIT_SENTENCES[found.refusal.kind], found.refusal.values)
    elif fit and fit.native_max_model_len < wanted:
        texts = {"native": str(fit.native_max_model_len), "wanted": str(wanted)}
        reason = fill(FIT_SENTENCES["fit_native_context"], texts)
    elif found.max_model_len < wanted:
        texts = {"longest": str(found.max_model_len), "wanted": str(wanted)}
        reason = fill(FIT_SENTENCES["fit_context"], texts)
    return Answer(subject, place, reason, found, fit, _suggestion(subject, place, variant))


def _suggestion(subject: Subject, place: Place, variant: Variant) -> dict[str, Any] | None:
    """Find the cheapest place, as asked or else in another variant; None when it is what was asked about."""
    offers = compile_offers(place.site)
    asked = (variant.quantization, variant.preset)
    # One may ask for more quantisations here than the form offers.
    for names in dict.fromkeys((asked, *variants_by_change(FORM_QUANTIZATIONS, PRESETS, asked))):
        tried = Variant(*names)
        for gpu_type, num_gpus in places_by_price(offers):
            other = Place(place.site, find_gpu_type(place.site, gpu_type), int(num_gpus))
            found = verdict(other, subject, tried)
            if not found.fits or found.max_model_len < (variant.max_model_len or 0):
                continue
            if (other, names) == (place, asked):
                return None
            return {
                "gpu_type": gpu_type,
                "num_gpus": other.num_gpus,
                "quantization": tried.quantization,
                "preset": tried.preset,
                "su_per_hour": offers[gpu_type][num_gpus].qos[0].su_per_hour,
            }
    return None

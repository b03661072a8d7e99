"""Whether a model that the person typed fits where it was launched: found out in seconds, before vLLM takes minutes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_hoster.catalogue.choice import PlaceNames, VariantNames, advise, place_title
from llm_hoster.catalogue.sentences import fill
from llm_hoster.catalogue.variant import Variant
from llm_hoster.engine.record.job_log import say
from llm_hoster.errors import ArchitectureError, ChoiceError, SessionError
from llm_hoster.fit.configuration import CONFIG, CONFIG_BYTES_MAX, Configuration, read_folder
from llm_hoster.fit.fit import SENTENCES, Fit
from llm_hoster.fit.json_file import parse_json
from llm_hoster.fit.safetensors import INDEX, INDEX_BYTES_MAX, total_size
from llm_hoster.hub import Hub
from llm_hoster.hub_cache import find_in_caches
from llm_hoster.session import Session

FETCH_TIMEOUT_S = 15.0


def check_typed_model(
    session: Session, environment: Mapping[str, str], caches: Sequence[Path] = ()
) -> Mapping[str, Any] | None:
    """
    Give the model's config.json, or None where it cannot be had: then vLLM will tell.

    `environment` is vLLM's; `caches` are looked into besides its own. Raise ChoiceError with the form's sentence when
    it does not fit, and SessionError for a folder that is none.
    """
    source = session.model.source
    if source.startswith("/"):
        require_folder(Path(source))
    try:
        configuration = find_configuration(source, Hub.from_environment(environment), caches)
    except ArchitectureError as error:
        say("model", f"Nobody knows yet whether {source} fits, vLLM will tell. {error}")
        return None
    try:
        longest = require_fit(session, configuration)
        if longest is not None:
            say("model", f"{source} fits, with room for {longest} tokens of context.")
    except ArchitectureError as error:
        say("model", f"Nobody knows yet whether {source} fits, vLLM will tell. {error}")
    return configuration.config


def require_fit(session: Session, configuration: Configuration) -> int | None:
    """
    Give the longest context, or None on a CPU: its memory is the job's, and nobody has measured what vLLM makes of it.

    Raise ChoiceError as the form does for a model of the catalogue, ArchitectureError where nobody can tell.
    """
    if session.engine.accelerator == "cpu":
        return None
    return _Judgement(session, configuration).require_fit()


def require_folder(folder: Path) -> None:
    if not os.path.isdir(folder) or not os.access(folder, os.R_OK | os.X_OK):
        raise SessionError(
            f"{folder}: the model's folder does not exist on the node {os.uname().nodename}, or you may not read it. "
            "Write the path of a folder that compute nodes see."
        )


def find_configuration(source: str, hub: Hub, caches: Sequence[Path] = ()) -> Configuration:
    """Look into the folder, then the caches, then the hub; raise ArchitectureError when none of them has it."""
    folder = Path(source) if source.startswith("/") else find_in_caches(source, [hub.cache, *caches], CONFIG)
    if folder is not None:
        return read_folder(folder)
    if hub.is_offline:
        raise ArchitectureError(f"{source} is not in the cache {hub.cache}, and this site downloads nothing in a job.")
    deadline = time.monotonic() + FETCH_TIMEOUT_S
    config = _fetch_json(hub, source, CONFIG, CONFIG_BYTES_MAX, FETCH_TIMEOUT_S)
    try:
        index = _fetch_json(hub, source, INDEX, INDEX_BYTES_MAX, max(0.1, deadline - time.monotonic()))
    except ArchitectureError:
        index = {}  # A model in one file has none.
    return Configuration(config, total_size(index))


def _fetch_json(hub: Hub, model: str, name: str, bytes_max: int, timeout_s: float) -> dict[str, Any]:
    return parse_json(f"{name} of {model}", hub.fetch(model, name, bytes_max=bytes_max, timeout_s=timeout_s))


class _Judgement:
    """One model held against the places of the catalogue."""

    def __init__(self, session: Session, configuration: Configuration) -> None:
        self._session = session
        self._configuration = configuration

    def require_fit(self) -> int:
        session, sentences = self._session, self._session.catalogue.sentences
        place, variant = (session.gpu_type.name, str(session.num_gpus)), (session.quantization, session.preset)
        fit = self._fit(place, variant)
        if fit.is_estimate:
            raise ArchitectureError("Its architecture is not known layer by layer.")
        if not self._holds(place, variant):
            texts = {
                "model": session.model.source,
                "place": place_title(session.catalogue, place),
                "advice": advise(session.catalogue, session.values, self._holds),
            }
            if fit.refusal is not None:
                reason = fill(SENTENCES[fit.refusal.kind], fit.refusal.values)
                raise ChoiceError(fill(sentences["does_not_fit"], {**texts, "reason": reason}))
            texts |= {"value": str(session.context_length), "longest": str(fit.max_model_len)}
            raise ChoiceError(fill(sentences["context_too_long"], texts))
        return fit.max_model_len

    def _holds(self, place: PlaceNames, variant: VariantNames) -> bool:
        fit = self._fit(place, variant)
        return fit.refusal is None and (self._session.context_length or 0) <= fit.max_model_len

    def _fit(self, place: PlaceNames, variant: VariantNames) -> Fit:
        catalogue, (gpu_type_name, num_gpus) = self._session.catalogue, place
        gpu_type = next(each for each in catalogue.gpu_types if each.name == gpu_type_name)
        engine = next(each for each in catalogue.engines if each.name == gpu_type.engine)
        nodes = catalogue.offers[gpu_type_name][num_gpus].nodes
        return Variant(*variant).judge(
            self._configuration, gpu_type, engine.accelerator, int(num_gpus), nodes, engine.args
        )

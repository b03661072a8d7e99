"""`llm-hoster models check`: whether every model of models.yml can be offered and served."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from llm_hoster.catalogue.arguments import value_of
from llm_hoster.catalogue.choice import HUGGING_FACE_ID
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.catalogue.model_list import load_models
from llm_hoster.catalogue.model_parsers import REASONING_OPTION, REASONING_PARSERS, TOOL_OPTION, TOOL_PARSERS
from llm_hoster.catalogue.models import ModelEntry
from llm_hoster.catalogue.verdicts import read_configuration
from llm_hoster.errors import ArchitectureError, LLMHosterError
from llm_hoster.launch.configure import render_files
from llm_hoster.models_command.paths import Paths, find_paths, json_option, site_options
from llm_hoster.models_command.place import cheapest_place

PARSERS: Mapping[str, frozenset[str]] = {TOOL_OPTION: TOOL_PARSERS, REASONING_OPTION: REASONING_PARSERS}
# A plugin may bring parsers that nobody here knows.
PLUGINS = {TOOL_OPTION: "--tool-parser-plugin", REASONING_OPTION: "--reasoning-parser-plugin"}


@dataclass
class Examination:
    """What is wrong with one model, and what only deserves a word."""

    name: str
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def line(self) -> str:
        verdict = "wrong" if self.faults else "right"
        return f"{self.name}: {verdict}" + "".join(f"; {each}" for each in [*self.faults, *self.remarks])


@click.command()
@json_option
@site_options
def check(as_json: bool, site_path: Path | None, models_path: Path | None) -> None:
    """Check every model of models.yml: one line each; exit 1 when something is wrong."""
    paths = find_paths(site_path, models_path)
    examinations = [_examine(model, paths) for model in load_models(paths.site, paths.site_path, paths.models_path)]
    rendering_fault = ""
    try:
        files = render_files(paths.site_path, paths.models_path, paths.app_dir)
        _place(examinations, Catalogue.model_validate_json(files["catalogue.json"]))
    except LLMHosterError as error:
        rendering_fault = str(error)
    if as_json:
        models = [asdict(each) | {"is_right": not each.faults} for each in examinations]
        click.echo(json.dumps({"models": models, "form_fault": rendering_fault or None}, ensure_ascii=False))
    else:
        click.echo("\n".join(examination.line() for examination in examinations))
        if rendering_fault:
            click.echo(f"The form cannot be written:\n{rendering_fault}")
    if rendering_fault or any(examination.faults for examination in examinations):
        sys.exit(1)


def _examine(model: ModelEntry, paths: Paths) -> Examination:
    examination = Examination(model.name)
    needs_memory = any(paths.site.accelerator_of(each.engine) != "cpu" for each in paths.site.gpu_types)
    try:
        configuration = read_configuration(model)
        if configuration is not None and configuration.architecture.is_estimate:
            examination.remarks.append("its architecture is not known layer by layer, its memory is an estimate")
        if configuration is None and needs_memory:
            examination.faults.append("has no `config`, write one with llm-hoster models add")
    except ArchitectureError as error:
        examination.faults.append(str(error))
    examination.faults += _licence_faults(model) + _parser_faults(model)
    _examine_source(model, examination)
    return examination


def _licence_faults(model: ModelEntry) -> list[str]:
    return ["its licence is not known, write it down"] if model.licence.lower().startswith("unknown") else []


def _parser_faults(model: ModelEntry) -> list[str]:
    faults = []
    for option, names in PARSERS.items():
        parser = value_of(option, model.args)
        if parser is not None and parser not in names and value_of(PLUGINS[option], model.args) is None:
            faults.append(f"vLLM 0.32 has no parser {parser!r} for {option}, only {', '.join(sorted(names))}")
    return faults


def _examine_source(model: ModelEntry, examination: Examination) -> None:
    """Hugging Face ids are taken as they are; folders may be on the nodes alone."""
    if HUGGING_FACE_ID.fullmatch(model.source) or model.source.startswith("$"):
        return
    if not Path(model.source).is_dir():
        examination.remarks.append(f"{model.source} is not seen from here")


def _place(examinations: list[Examination], catalogue: Catalogue) -> None:
    """Say where each model runs; configure leaves out what fits nowhere, because sites may share a models.yml."""
    for examination in examinations:
        place = cheapest_place(catalogue, examination.name)
        if place is None:
            examination.remarks.append("fits on no GPU type of this site, so the form leaves it out")
        else:
            examination.remarks.append(f"{place}, {place.su} SU per hour")

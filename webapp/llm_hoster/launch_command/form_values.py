"""The values of the form from the options of the command line; what is not given is as the form has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from llm_hoster.catalogue.choice import FormValues
from llm_hoster.catalogue.compiled import OTHER_MODEL, Catalogue, GpuType, Model, Option
from llm_hoster.launch_command.app_files import AppFiles


def form_values(app: AppFiles, given: Mapping[str, str | None]) -> FormValues:
    """`given` has the names of FormValues; None is not given. Nothing is refused here: that is the catalogue's part."""
    names = [field.name for field in fields(FormValues)]
    values = {name: app.defaults[name] for name in names if name in app.defaults}
    values |= {name: value for name, value in given.items() if value is not None}
    catalogue = app.catalogue
    values |= _model_values(catalogue, values.get("model", ""))
    options: dict[str, Sequence[GpuType | Option]] = {
        "gpu_type": catalogue.gpu_types,
        "quantization": catalogue.quantizations,
        "preset": catalogue.presets,
    }
    values |= {name: _name_of(entries, values[name]) for name, entries in options.items() if name in values}
    return FormValues(**values)


def _model_values(catalogue: Catalogue, wanted: str) -> dict[str, str]:
    """A model that the form does not list is typed where it looks like an id or a folder."""
    name = _name_of(catalogue.models, wanted)
    if any(each.name == name for each in catalogue.models):
        return {"model": name}
    by_source = [each.name for each in catalogue.models if each.source == wanted]
    if by_source:
        return {"model": by_source[0]}
    return {"model": OTHER_MODEL, "typed_model": wanted} if "/" in wanted else {"model": wanted}


def _name_of(entries: Sequence[Model | GpuType | Option], wanted: str) -> str:
    """Refusals name titles, so these are taken too, up to the colon after which the form explains them."""
    by_title = {each.title.partition(":")[0].casefold(): each.name for each in entries}
    return wanted if any(each.name == wanted for each in entries) else by_title.get(wanted.casefold(), wanted)

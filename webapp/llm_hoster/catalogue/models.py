"""models.yml: the models that a site offers. Each field is explained in config/models.yml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llm_hoster.catalogue.arguments import wrong_argument
from llm_hoster.catalogue.compiled import OTHER_MODEL, Accelerator, Task
from llm_hoster.catalogue.document import Document
from llm_hoster.catalogue.site import Count, Part, Site, check_unique
from llm_hoster.catalogue.text import AnyPath, Argument, Line, Name, Source


class ModelEntry(Part):
    name: Name
    title: Line
    source: Source
    licence: Line
    group: Line
    good_for: Line
    config: AnyPath | None = None
    max_model_len: Count | None
    engine: Name | None = None
    accelerators: list[Accelerator] = Field(default=["cuda", "rocm", "cpu"], min_length=1)
    num_gpus: Annotated[list[Count], Field(min_length=1)] | None = None
    args: list[Argument] = Field(default=[])
    task: Task = "chat"
    trust_remote_code: bool = False


class Models(Part):
    models: Annotated[list[ModelEntry], Field(min_length=1)]


def check_models(document: Document[Models], site: Site | None) -> None:
    """Add the faults of the models among themselves, and against the site when that one could be read."""
    models = document.value
    if models is None:
        return
    check_unique(document, "models", [model.name for model in models.models])
    for index, model in enumerate(models.models):
        wrong = wrong_argument(model.args)
        if wrong is not None:
            document.fault(("models", index, "args"), *wrong)
        if model.name == OTHER_MODEL:
            expected = "another name: in the form this one means a model that the person types"
            document.fault(("models", index, "name"), model.name, expected)
    if site is None:
        return
    engines = [engine.name for engine in site.engines]
    for index, model in enumerate(models.models):
        if model.engine is not None and model.engine not in engines:
            expected = f"one of the site's engines: {', '.join(engines)}"
            document.fault(("models", index, "engine"), model.engine, expected)

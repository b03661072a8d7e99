"""The models of a site: those of models.yml, and beside them the ones that a job found on the cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.catalogue.document import Document, raise_faults
from llm_hoster.catalogue.models import ModelEntry, Models, check_models
from llm_hoster.catalogue.site import Site


@dataclass(frozen=True)
class ListedModel:
    """One entry, its paths made absolute, and where it is written."""

    entry: ModelEntry
    document: Document[Models]
    index: int

    def fault(self, field: str, expected: str) -> None:
        assert self.document.value is not None  # noqa: S101 - the entry was read from it
        written = self.document.value.models[self.index]
        self.document.fault(("models", self.index, field), getattr(written, field), expected)


def open_models(site: Site | None, site_path: Path, models_path: Path | None) -> list[Document[Models]]:
    """Read models.yml, and the file of found models where the site names one; the faults are in the documents.

    Without `models_path` site.yml says where its models are.
    """
    named = [models_path or site_path.parent / (site.models if site else "models.yml")]
    if site is not None and site.found_models is not None:
        named.append(site_path.parent / site.found_models)
    documents = [Document(path, Models) for path in named]
    for document in documents:
        check_models(document, site)
    return documents


def list_models(documents: list[Document[Models]]) -> list[ListedModel]:
    """Put the documents together: of two entries with one name or one source the first counts."""
    listed: list[ListedModel] = []
    for document in documents:
        names = {each.entry.name for each in listed}
        sources = {each.entry.source for each in listed}
        for index, entry in enumerate(document.require().models):
            model = _with_absolute_paths(entry, document.path)
            if model.name not in names and model.source not in sources:
                listed.append(ListedModel(model, document, index))
    return listed


def load_models(site: Site, site_path: Path, models_path: Path | None = None) -> list[ModelEntry]:
    """Give all models of the site; raise ConfigError with every fault."""
    documents = open_models(site, site_path, models_path)
    raise_faults(documents)
    return [each.entry for each in list_models(documents)]


def load_models_file(path: Path, site: Site) -> list[ModelEntry]:
    """Give the models of one file alone; raise ConfigError with every fault."""
    document = Document(path, Models)
    check_models(document, site)
    return [_with_absolute_paths(each, path) for each in document.require().models]


def _with_absolute_paths(entry: ModelEntry, written_in: Path) -> ModelEntry:
    """$VARIABLES are left for the node."""
    here = written_in.absolute().parent
    paths = {} if entry.config is None else {"config": os.path.normpath(here / entry.config)}
    if entry.source.startswith(("./", "../")):
        paths["source"] = os.path.normpath(here / entry.source)
    return entry.model_copy(update=paths)

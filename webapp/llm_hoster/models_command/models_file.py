"""Add an entry to models.yml as text: what people wrote there, comments and order, stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.catalogue.compiler import compile_catalogue
from llm_hoster.catalogue.model_list import load_models_file
from llm_hoster.catalogue.models import ModelEntry
from llm_hoster.catalogue.site import Site
from llm_hoster.errors import ConfigError, LLMHosterError
from llm_hoster.models_command.data_file import require_ours
from llm_hoster.models_command.entry import Entry
from llm_hoster.models_command.shared_file import write_shared


class ModelsFile:
    """models.yml as it was when the command began; `add` refuses when somebody changed it meanwhile."""

    def __init__(self, path: Path, site: Site) -> None:
        self.path = path
        self._site = site
        self._models: list[ModelEntry] = load_models_file(path, site)
        self._text = _read(path)

    def require_free(self, name: str, source: str) -> None:
        for model in self._models:
            if model.name == name:
                raise ConfigError(f"{self.path}: has a model named {name} already. Choose another name with --name.")
            if model.source == source:
                raise ConfigError(f"{self.path}: has {source} already, as {model.name}. Edit that entry.")

    def add(self, entry: Entry, data_file_text: str, site_path: Path, app_dir: Path) -> Catalogue:
        """Write the entry and its data file when the whole passes the checks of `configure`; else nothing."""
        data_path = self.path.parent / entry.config
        require_ours(data_path, entry.source)
        text = self._with(entry)
        with _restored_on_error(data_path):
            write_shared(data_path, data_file_text)
            catalogue = self._checked(text, entry, site_path, app_dir)
            if _read(self.path) != self._text:
                raise ConfigError(f"{self.path}: somebody changed it just now. Nothing is written: try again.")
            write_shared(self.path, text)
        return catalogue

    def _with(self, entry: Entry) -> str:
        ending = "\r\n" if "\r\n" in self._text else "\n"
        added = f"\n{entry.yaml(_column_of_dashes(self._text))}".replace("\n", ending)
        return self._text + ("" if self._text.endswith("\n") else ending) + added

    def _checked(self, text: str, entry: Entry, site_path: Path, app_dir: Path) -> Catalogue:
        """Compile a draft beside models.yml, because the paths in it are relative to that folder."""
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            write_shared(draft, text)
            models = load_models_file(draft, self._site)
            if models[:-1] != self._models or models[-1].name != entry.name:
                raise ConfigError("The entry does not fit at the end of this file.")
            return compile_catalogue(site_path, draft, app_dir)[1]
        except LLMHosterError as error:
            reason = str(error).replace(str(draft), str(self.path))
            raise ConfigError(f"{self.path}: nothing is written, because then:\n{reason}") from error
        finally:
            draft.unlink(missing_ok=True)


def _column_of_dashes(text: str) -> int:
    """Find where the items of the list begin; the checked file is known to have some."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    fields = root.value if isinstance(root, yaml.MappingNode) else []
    models = next(value for key, value in fields if key.value == "models")
    if models.flow_style:
        raise ConfigError("models.yml: its list stands in [brackets]: write each model as an item with a dash.")
    return int(models.start_mark.column)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # Line ends as they are.
            return file.read()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


@contextmanager
def _restored_on_error(path: Path) -> Iterator[None]:
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)
        raise

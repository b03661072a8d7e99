"""The app's folder as OnDemand reads it at Launch: the catalogue, the form's own values, and template/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.errors import ConfigError
from llm_hoster.launch.form import FORM_ID_LENGTH


@dataclass(frozen=True)
class AppFiles:
    """`document` is catalogue.json as it is written: it travels with the session. `defaults` are form.yml's values."""

    folder: Path
    document: Mapping[str, Any]
    catalogue: Catalogue
    defaults: Mapping[str, str]


def read_app(folder: Path) -> AppFiles:
    """Raise ConfigError where a file is missing, or is not what `llm-hoster configure` would write now."""
    try:
        text = (folder / "catalogue.json").read_text(encoding="utf-8")
        form = (folder / "form.yml").read_text(encoding="utf-8")
        document = json.loads(text)
        catalogue = Catalogue.model_validate_json(text)
        attributes = yaml.safe_load(form)["attributes"]
    except OSError as error:
        raise ConfigError(
            f"{error.filename}: cannot be read ({error.strerror}). It is written by configure."
        ) from error
    except (ValueError, ValidationError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder}: its catalogue.json or form.yml is not of this version of LLM Hoster: run llm-hoster configure."
        ) from error
    _require_fresh(folder, catalogue, form)
    return AppFiles(folder, document, catalogue, _values(attributes))


def _require_fresh(folder: Path, catalogue: Catalogue, form: str) -> None:
    """As launch.rb: what the admin has changed since is not what people would get."""
    for source in catalogue.made_from:
        try:
            digest = hashlib.sha256((folder / source.file).read_bytes()).hexdigest()
        except OSError:
            digest = ""
        if digest != source.sha256:
            raise ConfigError(f"{folder}: form.yml is older than {source.file}: run llm-hoster configure.")
    id_of_form = hashlib.sha256(form.replace(catalogue.form_id, "", 1).encode()).hexdigest()[:FORM_ID_LENGTH]
    if id_of_form != catalogue.form_id:
        raise ConfigError(
            f"{folder}: form.yml is not the one that belongs to catalogue.json: run llm-hoster configure."
        )


def _values(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Give what somebody sends who only presses Launch. Fixed attributes are no fields."""
    fields = {name: settings for name, settings in attributes.items() if isinstance(settings, dict)}
    return {name: str(settings["value"]) for name, settings in fields.items() if "value" in settings}

"""The lasting folder of whoever runs a command, as the sessions of this app use it: keys, usage, conversations."""

from __future__ import annotations

from pathlib import Path

import click

from llm_hoster.catalogue.app_dir import find_own_app_dir
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.errors import ConfigError
from llm_hoster.session import expand_path

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Default: `data_dir` of the app's site.yml."
)


def own_data_dir(given: Path | None = None) -> Path:
    """Take `data_dir` of the app's catalogue.json, unless one is given."""
    if given is not None:
        return given
    path = find_own_app_dir() / "catalogue.json"
    try:
        catalogue = Catalogue.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read. Name the folder with --data-dir (`data_dir` of site.yml)."
        ) from error
    return expand_path(catalogue.site.data_dir)

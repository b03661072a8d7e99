"""Which files the commands work on: options in common, and where they are when nobody says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from llm_hoster.catalogue.app_dir import find_app_dir
from llm_hoster.catalogue.compiler import load_site
from llm_hoster.catalogue.site import Site

F = TypeVar("F", bound=Callable[..., None])


@dataclass(frozen=True)
class Paths:
    site_path: Path
    models_path: Path
    app_dir: Path
    site: Site


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON alone; other words go to stderr.")(command)


def site_options(command: F) -> F:
    site = click.option(
        "--site", "site_path", type=click.Path(path_type=Path), help="Default: config/site.yml of the app."
    )
    models = click.option(
        "--models", "models_path", type=click.Path(path_type=Path), help="Default: the file that site.yml names."
    )
    return site(models(command))


def find_paths(site_path: Path | None, models_path: Path | None) -> Paths:
    app_dir = find_app_dir()
    site_path = site_path or app_dir / "config" / "site.yml"
    site = load_site(site_path)
    return Paths(site_path, models_path or site_path.parent / site.models, app_dir, site)

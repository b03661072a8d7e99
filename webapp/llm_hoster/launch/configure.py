"""`llm-hoster configure`: write form.yml and catalogue.json, or check that they are fresh."""

from __future__ import annotations

from pathlib import Path

import click

from llm_hoster.catalogue.app_dir import find_app_dir
from llm_hoster.catalogue.compiler import compile_catalogue
from llm_hoster.errors import ConfigError
from llm_hoster.launch.form import render_form


@click.command()
@click.option("--site", "site_path", type=click.Path(path_type=Path), help="site.yml; default DIR/config/site.yml.")
@click.option(
    "--models", "models_path", type=click.Path(path_type=Path), help="models.yml; default: the one that site.yml names."
)
@click.option(
    "--app",
    "app_dir",
    type=click.Path(path_type=Path),
    help="DIR, the folder that holds manifest.yml; default: the current one or this checkout.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail when a file is stale.")
def configure(site_path: Path | None, models_path: Path | None, app_dir: Path | None, check: bool) -> None:
    """Write form.yml and catalogue.json of the app in DIR from site.yml and models.yml."""
    app_dir = app_dir or find_app_dir()
    site_path = site_path or app_dir / "config" / "site.yml"
    for name, text in render_files(site_path, models_path, app_dir).items():
        path = app_dir / name
        if check:
            require_fresh(path, text)
        else:
            path.write_text(text, encoding="utf-8")
            click.echo(f"{path}: written")


def render_files(site_path: Path, models_path: Path | None, app_dir: Path) -> dict[str, str]:
    """Give the text of each generated file by its name."""
    site, catalogue = compile_catalogue(site_path, models_path, app_dir)
    form = render_form(site, catalogue)
    catalogue = catalogue.model_copy(update={"form_id": form.id})
    return {"form.yml": form.text, "catalogue.json": catalogue.model_dump_json(indent=1) + "\n"}


def require_fresh(path: Path, text: str) -> None:
    """Raise ConfigError when the file is not what `configure` would write now."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{path} is not what the site and model files say: run llm-hoster configure.")

"""`llm-hoster configure`: write form.yml, form.js and catalogue.json, or check that they are fresh."""

from __future__ import annotations

import json
from pathlib import Path

import click

from llm_hoster.catalogue.app_dir import find_app_dir
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.catalogue.compiler import compile_catalogue
from llm_hoster.catalogue.site import Site
from llm_hoster.errors import ConfigError
from llm_hoster.launch.form import render_form
from llm_hoster.launch.form_script import render_form_script


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
    """Write form.yml, form.js and catalogue.json of the app in DIR from site.yml and models.yml."""
    app_dir = app_dir or find_app_dir()
    site_path = site_path or app_dir / "config" / "site.yml"
    site, catalogue = compile_catalogue(site_path, models_path, app_dir)
    require_ray(catalogue)
    for name, text in generate_files(site, catalogue).items():
        path = app_dir / name
        if check:
            require_fresh(path, text)
        else:
            path.write_text(text, encoding="utf-8")
            click.echo(f"{path}: written")
    if catalogue.left_out:
        click.echo(f"Left out, because they fit on no GPU type of the site: {', '.join(catalogue.left_out)}.", err=True)


def require_ray(catalogue: Catalogue) -> None:
    """Raise ConfigError for a place over several nodes whose engine has no Ray, as far as that is seen from here."""
    for gpu_type in catalogue.gpu_types:
        engine = next(each for each in catalogue.engines if each.name == gpu_type.engine)
        bin_dir = Path(engine.target) / "bin"
        if engine.kind != "venv" or not (bin_dir / "vllm").exists() or (bin_dir / "ray").exists():
            continue
        for count, offer in catalogue.offers[gpu_type.name].items():
            if offer.nodes > 1:
                raise ConfigError(
                    f"{count} GPUs of {gpu_type.name} lie on {offer.nodes} nodes, and {bin_dir} has no ray, which vLLM "
                    f"needs there: install Ray into the engine, or leave {count} out of num_gpus in site.yml."
                )


def render_files(site_path: Path, models_path: Path | None, app_dir: Path) -> dict[str, str]:
    """Give the text of each generated file by its name."""
    return generate_files(*compile_catalogue(site_path, models_path, app_dir))


def generate_files(site: Site, catalogue: Catalogue) -> dict[str, str]:
    form = render_form(site, catalogue)
    catalogue = catalogue.model_copy(update={"form_id": form.id})
    return {
        "form.yml": form.text,
        "form.js": render_form_script(site, catalogue),
        "catalogue.json": catalogue_json(catalogue),
    }


def catalogue_json(catalogue: Catalogue) -> str:
    """Write it for people who compare two versions: a field a line, but one line for all fits of a model."""
    whole = catalogue.model_dump(mode="json", exclude={"fits"})
    # What a verdict does not say is its default; the table has thousands of them.
    fits = catalogue.model_dump(mode="json", include={"fits"}, exclude_defaults=True)["fits"]
    lines = [f"  {json.dumps(model)}: {json.dumps(table, separators=(',', ':'))}" for model, table in fits.items()]
    head = json.dumps(whole, indent=1, ensure_ascii=False).removesuffix("\n}")
    return head + ',\n "fits": {\n' + ",\n".join(lines) + "\n }\n}\n"


def require_fresh(path: Path, text: str) -> None:
    """Raise ConfigError when the file is not what `configure` would write now."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{path} is not what the site and model files say: run llm-hoster configure.")

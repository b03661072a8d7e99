"""`llm-hoster models list`: what the site offers, how large it is, and where it is cheapest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from pydantic import ValidationError

from llm_hoster.catalogue.arguments import value_of
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.catalogue.compiler import compile_catalogue
from llm_hoster.catalogue.model_list import load_models
from llm_hoster.catalogue.model_parsers import REASONING_OPTION, TOOL_OPTION
from llm_hoster.catalogue.models import ModelEntry
from llm_hoster.catalogue.site import BYTES_PER_GIB
from llm_hoster.catalogue.verdicts import read_configuration
from llm_hoster.errors import ArchitectureError
from llm_hoster.models_command.paths import Paths, find_paths, site_options
from llm_hoster.models_command.place import cheapest_place, longest_context
from llm_hoster.text_table import text_table

NOTHING = "-"


@dataclass(frozen=True)
class Row:
    """Sizes are 0, parsers and the place None where there are none or nothing is known."""

    name: str
    title: str
    weights_gib: float
    max_model_len: int
    licence: str
    cheapest_place: str | None
    su_per_hour: float | None
    tool_parser: str | None
    reasoning_parser: str | None

    def cells(self, su: str) -> list[str]:
        parsers = [each for each in (self.tool_parser, self.reasoning_parser) if each]
        return [
            self.name,
            self.title,
            f"{self.weights_gib:.1f}" if self.weights_gib else NOTHING,
            str(self.max_model_len or NOTHING),
            self.licence,
            self.cheapest_place or "fits nowhere",
            su,
            ", ".join(parsers) or NOTHING,
        ]


HEAD = ["NAME", "TITLE", "GIB", "CONTEXT", "LICENCE", "CHEAPEST PLACE", "SU/H", "PARSERS"]
NUMBERS = (2, 3, 6)  # Columns that are written to the right.


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list alone.")
@site_options
def list_models(as_json: bool, site_path: Path | None, models_path: Path | None) -> None:
    """List the models: size of the weights, longest context on this site, licence, cheapest place, parsers."""
    paths = find_paths(site_path, models_path)
    catalogue = _fresh_catalogue(paths) or compile_catalogue(paths.site_path, paths.models_path, paths.app_dir)[1]
    rows, cells = [], [HEAD]
    for model in load_models(paths.site, paths.site_path, paths.models_path):
        place = cheapest_place(catalogue, model.name)
        row = _row(model, catalogue, paths)
        rows.append(row)
        cells.append(row.cells(place.su if place else NOTHING))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], ensure_ascii=False))
    else:
        click.echo(text_table(cells, numbers=NUMBERS))


def _row(model: ModelEntry, catalogue: Catalogue, paths: Paths) -> Row:
    place = cheapest_place(catalogue, model.name)
    offered = next((each for each in catalogue.models if each.name == model.name), None)
    return Row(
        name=model.name,
        title=model.title,
        weights_gib=offered.weights_gib if offered else _weights_gib(model),
        max_model_len=longest_context(catalogue, model.name),
        licence=model.licence,
        cheapest_place=str(place) if place else None,
        su_per_hour=place.su_per_hour if place else None,
        tool_parser=value_of(TOOL_OPTION, model.args),
        reasoning_parser=value_of(REASONING_OPTION, model.args),
    )


def _weights_gib(model: ModelEntry) -> float:
    """Read the size of a model that the catalogue leaves out."""
    try:
        configuration = read_configuration(model)
        return 0.0 if configuration is None else round(configuration.published_bytes / BYTES_PER_GIB, 2)
    except ArchitectureError:
        return 0.0


def _fresh_catalogue(paths: Paths) -> Catalogue | None:
    """Take what `configure` compiled when it was from these very files: that spares seconds."""
    try:
        catalogue = Catalogue.model_validate_json((paths.app_dir / "catalogue.json").read_bytes())
        made_from = {(paths.app_dir / each.file).resolve(): each.sha256 for each in catalogue.made_from}
        wanted = {paths.site_path.resolve(), paths.models_path.resolve()}
        is_fresh = wanted <= made_from.keys() and all(
            hashlib.sha256(path.read_bytes()).hexdigest() == digest for path, digest in made_from.items()
        )
    except (OSError, ValidationError):
        return None
    return catalogue if is_fresh else None

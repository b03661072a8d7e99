"""`llm-hoster models add`: from a Hugging Face id or a folder to an entry of models.yml."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from llm_hoster.catalogue.choice import HUGGING_FACE_ID
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.catalogue.sentences import shown
from llm_hoster.catalogue.site import BYTES_PER_GIB
from llm_hoster.catalogue.text import NAME_RULE, Name
from llm_hoster.errors import ChoiceError, ConfigError
from llm_hoster.fit.architecture import Architecture
from llm_hoster.hub import Hub
from llm_hoster.models_command.data_file import FOLDER, data_file_name, data_file_text, is_id
from llm_hoster.models_command.entry import Entry, Wishes, guess_name, make_entry
from llm_hoster.models_command.hub_files import HubFiles
from llm_hoster.models_command.model_files import FolderFiles, ModelFiles
from llm_hoster.models_command.models_file import ModelsFile
from llm_hoster.models_command.paths import find_paths, json_option, site_options
from llm_hoster.models_command.place import cheapest_place
from llm_hoster.models_command.publication import Publication, read_publication
from llm_hoster.models_command.readme_head import UNKNOWN_LICENCE
from llm_hoster.models_command.servable import require_servable


@click.command()
@click.argument("source", metavar="ID_OR_FOLDER")
@click.option("--name", help="What scripts call it. Default: the last part of the id or folder.")
@click.option("--title", help="What people read in the form.")
@click.option("--group", help="The heading under which the form lists it.")
@click.option("--good-for", help="What it is good for, in a few words.")
@click.option("--licence", help="Its licence, in a few words.")
@json_option
@site_options
def add(
    source: str,
    name: str | None,
    title: str | None,
    group: str | None,
    good_for: str | None,
    licence: str | None,
    as_json: bool,
    site_path: Path | None,
    models_path: Path | None,
) -> None:
    """Read a model's description and write its entry: ID (owner/name at huggingface.co) or a folder.

    A folder begins with /, ./, ../ or $. Only small files are read, no weights. The token for models that ask first is
    that of HF_TOKEN or of `hf auth login`.
    """
    source = _require_source(source)
    name = _require_name(name or guess_name(source))
    paths = find_paths(site_path, models_path)
    models_file = ModelsFile(paths.models_path, paths.site)
    wishes = Wishes(name, title, group, good_for, licence)
    models_file.require_free(name, source)
    publication = read_publication(source, _files(source))
    architecture = require_servable(publication)
    config = f"{FOLDER}/{data_file_name(source, name)}"
    entry = make_entry(publication, architecture, config, wishes)
    catalogue = models_file.add(entry, data_file_text(publication), paths.site_path, paths.app_dir)
    remarks = _remarks(publication, architecture, entry, catalogue)
    if as_json:
        written = {"name": name, "source": source, "models_file": str(paths.models_path)}
        config_file = str(paths.models_path.parent / config)
        click.echo(json.dumps(written | {"config_file": config_file, "remarks": remarks}, ensure_ascii=False))
        return
    click.echo(f"{paths.models_path.parent / config}: written, from {' '.join(publication.read_from.values())}")
    click.echo(f"{paths.models_path}: has it now, at the end:\n{entry.yaml(2)}")
    for line in remarks:
        click.echo(line)


def _require_source(source: str) -> str:
    """Write a folder as the nodes see it; leave its $VARIABLES to them."""
    if not is_id(source):
        return source.rstrip("/") if source.startswith(("/", "$")) else str(Path(source).absolute().resolve())
    if HUGGING_FACE_ID.fullmatch(source):
        return source
    raise ChoiceError(
        f"{shown(source)} is neither a Hugging Face id (owner/name) nor a folder (it begins with /, ./, ../ or $)."
    )


def _require_name(name: str) -> str:
    """The file of a folder's configuration is called by it, so it is checked before anything is read or written."""
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ConfigError(f"--name: found {shown(name)}, expected {NAME_RULE}.") from error


def _files(source: str) -> ModelFiles:
    if not is_id(source):
        folder = Path(os.path.expandvars(source))
        if not folder.is_dir():
            raise ConfigError(
                f"{source}: no such folder here. What only nodes see, `llm-hoster models scan` finds there."
            )
        return FolderFiles(folder)
    return HubFiles(source, Hub.from_environment(os.environ))


def _remarks(publication: Publication, architecture: Architecture, entry: Entry, catalogue: Catalogue) -> list[str]:
    remarks = []
    if UNKNOWN_LICENCE in entry.licence:
        remarks.append("Its licence is not in its README.md: write it into the entry.")
    if entry.task == "embed":
        remarks.append("It embeds texts: the session answers under /v1/embeddings and has no chat.")
    elif not publication.has_chat_template:
        remarks.append(
            "It has no template for chats: it continues texts, and the chat pages will refuse it. Is there a version "
            "that was taught to answer (Instruct, Chat, it)?"
        )
    if architecture.is_estimate:
        remarks.append("Its architecture is not known layer by layer: what the form says about memory is an estimate.")
    weights = publication.weights
    if weights is not None:
        remarks.append(f"Weights: {weights.bytes / BYTES_PER_GIB:.1f} GiB.")
    place = cheapest_place(catalogue, entry.name)
    if place is None:
        remarks.append("It fits on no GPU type of this site: the form leaves it out.")
    else:
        remarks.append(f"Cheapest place: {place}, {place.su} SU per hour, context of {place.max_model_len} tokens.")
    if entry.guessed:
        remarks.append(f"Guessed: {', '.join(sorted(entry.guessed))}. Edit them in the entry.")
    return [*remarks, "Next: llm-hoster configure"]

"""`llm-hoster models scan`: find models that only the nodes see, and write them down where the portal sees them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import click

from llm_hoster.catalogue.document import Document
from llm_hoster.catalogue.models import Models, check_models
from llm_hoster.errors import ArchitectureError, ConfigError
from llm_hoster.models_command.data_file import data_file_text
from llm_hoster.models_command.entry import Entry, Wishes, guess_name, make_entry
from llm_hoster.models_command.folder_walk import Walk
from llm_hoster.models_command.model_files import FolderFiles
from llm_hoster.models_command.paths import json_option
from llm_hoster.models_command.publication import read_publication
from llm_hoster.models_command.servable import require_servable
from llm_hoster.models_command.shared_file import WORLD_READABLE, write_shared

HEAD = """\
# Models that `llm-hoster models scan` found in {folder}.
# Not to be edited: the next scan replaces it. An entry of models.yml with the same name or source wins.

models:
"""


@dataclass
class FoundModels:
    entries: list[Entry] = field(default_factory=list)
    data_files: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


@click.command()
@click.argument("folder")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="The file that site.yml names as found_models."
)
@json_option
def scan(folder: str, output: Path, as_json: bool) -> None:
    """Look for models below FOLDER, which may begin with $VARIABLE, and write them to a file that everybody may read.

    A model is a folder with config.json and *.safetensors. Runs as a job on a node: see deploy/scan-models.sbatch.
    """
    root = Path(os.path.expandvars(folder))
    if not root.is_absolute() or not root.is_dir():
        raise ConfigError(f"{folder}: no such folder on {os.uname().nodename}, expected the whole path of one.")
    walk = Walk()
    found = _read_all(list(walk.model_folders(root)), output)
    for line in [*walk.unread, *found.left_out]:
        click.echo(line, err=as_json)
    if not found.entries:
        raise ConfigError(f"{root}: holds no model that can be served. {output} stays as it is.")
    _write(found, root, output)
    if as_json:
        models = [{"name": entry.name, "source": entry.source} for entry in found.entries]
        left_out = {"unread": walk.unread, "left_out": found.left_out}
        click.echo(json.dumps({"output": str(output), "models": models} | left_out, ensure_ascii=False))
        return
    for entry in found.entries:
        click.echo(f"{entry.name}: {entry.source}")
    click.echo(f"{output}: {len(found.entries)} models. Next: found_models in site.yml, then llm-hoster configure")


def _read_all(folders: list[Path], output: Path) -> FoundModels:
    found = FoundModels()
    for folder in folders:
        source = str(folder)
        try:
            publication = read_publication(source, FolderFiles(folder))
            architecture = require_servable(publication)
        except ArchitectureError as error:
            found.left_out.append(f"left out: {error}")
            continue
        name = _free_name(guess_name(source), found.entries)
        config = f"{_data_folder(output)}/{name}.json"
        found.entries.append(make_entry(publication, architecture, config, Wishes(name=name)))
        found.data_files[config] = data_file_text(publication)
    return found


def _free_name(name: str, entries: list[Entry]) -> str:
    """Two folders of the same name: the second gets a number."""
    taken = {entry.name for entry in entries}
    numbered = (f"{name[:58]}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(each for each in numbered if each not in taken)


def _data_folder(output: Path) -> str:
    return f"{output.stem}-configs"


def _write(found: FoundModels, root: Path, output: Path) -> None:
    """Data files first, the list last: who reads in between finds all that the list names."""
    for name, text in found.data_files.items():
        write_shared(output.parent / name, text, WORLD_READABLE)
    text = HEAD.format(folder=root) + "\n".join(entry.yaml(2) for entry in found.entries)
    draft = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        write_shared(draft, text, WORLD_READABLE)
        document = Document(draft, Models)
        check_models(document, None)
        document.require()
        os.replace(draft, output)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written ({error.strerror}).") from error
    finally:
        draft.unlink(missing_ok=True)

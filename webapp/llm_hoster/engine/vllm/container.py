"""What a container has to see besides the session's own folders: models, adapters, and where their links lead."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from llm_hoster.errors import SessionError

LINKS_MAX = 40  # In one chain, as the kernel has it.
FOLDERS_MAX = 100


def real_source(source: str) -> str:
    """
    Name a folder by its real place, and a hub id as it is.

    A link such as ../../blobs/... leads away from where its folder is bound: only from the real place it arrives.
    """
    return os.path.realpath(source) if source.startswith("/") else source


def bound_folders(folders: Iterable[Path]) -> list[Path]:
    """
    Give the folders among these, which are real ones or hub ids, and those in which the files lie that they link to.

    Each version of a model in the Hugging Face cache consists of links into the folder `blobs` two levels above. Raise
    SessionError for links all over the place.
    """
    bound: dict[Path, None] = {}
    for folder in filter(Path.is_absolute, folders):
        bound[folder] = None
        for link in _links_in(folder):
            for target in _targets(link):
                # The root and its own folders are the image's.
                if len(target.parent.parts) > 2:
                    bound[target.parent] = None
        if len(bound) > FOLDERS_MAX:
            raise SessionError(
                f"{folder}: its files are links into more than {FOLDERS_MAX} folders, which are more than can be made "
                "visible in a container. Copy the model into one folder."
            )
    return [each for each in bound if not any(parent in bound for parent in each.parents)]


def _links_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_symlink())
    except OSError:
        return []  # vLLM will tell what is wrong with it.


def _targets(link: str) -> Iterable[Path]:
    """Follow link by link: each place of the chain must be there."""
    path = link
    for _ in range(LINKS_MAX):
        try:
            target = os.readlink(path)
        except OSError:
            return
        path = os.path.normpath(os.path.join(os.path.dirname(path), target))
        yield Path(path)

"""Where the Hugging Face cache lies and which version of a model in it counts, as vLLM (huggingface_hub) has it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from llm_hoster.regular_file import open_regular

REVISION = "main"
# Names of huggingface_hub/constants.py; the first that is set counts.
CACHE_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
REFERENCE_BYTES_MAX = 100


def first_set(environment: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)


def home_of(environment: Mapping[str, str]) -> Path:
    """The folder of the login and, where no other is named, of the cache."""
    if environment.get("HF_HOME"):
        return expanded(environment["HF_HOME"])
    return expanded(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"


def cache_of(environment: Mapping[str, str]) -> Path:
    named = first_set(environment, CACHE_VARIABLES)
    return expanded(named) if named else home_of(environment) / "hub"


def expanded(text: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(text)))


def repository_of(model: str, cache: Path) -> Path:
    return cache / f"models--{model.replace('/', '--')}"


def find_snapshot(repository: Path) -> Path | None:
    """Give the version that refs/main names; where there is no such reference, the only one."""
    snapshots = repository / "snapshots"
    try:
        names = [name for name in os.listdir(snapshots) if os.path.isdir(snapshots / name)]
    except OSError:
        return None
    try:
        with open_regular(repository / "refs" / REVISION) as file:
            named = file.read(REFERENCE_BYTES_MAX).decode("ascii", errors="replace").strip()
    except FileNotFoundError:
        return snapshots / names[0] if len(names) == 1 else None
    except OSError:
        return None
    # A name of the list: what a reference says is no path.
    return snapshots / named if named in names else None


def find_in_caches(model: str, caches: Iterable[Path], name: str) -> Path | None:
    """Give the first version in these caches that holds a file of this name."""
    for cache in caches:
        snapshot = find_snapshot(repository_of(model, cache))
        if snapshot is not None and os.path.isfile(snapshot / name):
            return snapshot
    return None

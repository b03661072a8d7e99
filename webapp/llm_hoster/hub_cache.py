"""Where the Hugging Face cache lies and which version of a model in it counts, as vLLM (huggingface_hub) has it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from llm_hoster.regular_file import open_regular

REVISION = "main"
# Names of huggingface_hub/constants.py; the first that is set counts.
CACHE_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
REFERENCE_BYTES_MAX = 100
CONFIGS = ("config.json", "params.json")
# A model in Mistral's own layout has the second name for its weights, often beside the first.
WEIGHTS = "model.safetensors"
MISTRAL_WEIGHTS = "consolidated.safetensors"
INDEX_BYTES_MAX = 128 * 2**20


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


def caches_of(cache_dir: str, environment: Mapping[str, str]) -> list[Path]:
    """
    Name the caches where a model may lie, in the order of `serve`: that of the sessions, and the person's own.

    `cache_dir` is as site.yml has it. Where it names a variable of jobs, only the person's own is known.
    """
    own, home = cache_of(environment), os.path.join(os.path.expandvars(cache_dir), "huggingface")
    return [own] if "$" in home else list(dict.fromkeys((cache_of({**environment, "HF_HOME": home}), own)))


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


def find_model(model: str, caches: Iterable[Path], *, is_mistral: bool = False) -> Path | None:
    """Give the first version in these caches that vLLM can load without a way to the hub."""
    for cache in caches:
        snapshot = find_snapshot(repository_of(model, cache))
        if snapshot is not None and is_complete(snapshot, is_mistral=is_mistral):
            return snapshot
    return None


def is_complete(snapshot: Path, *, is_mistral: bool = False) -> bool:
    """Whether a configuration is there and every file with weights that it needs, as safetensors."""
    if not any(os.path.isfile(snapshot / name) for name in CONFIGS):
        return False
    for weights in (MISTRAL_WEIGHTS,) if is_mistral else (WEIGHTS, MISTRAL_WEIGHTS):
        index = snapshot / f"{weights}.index.json"
        if os.path.lexists(index):
            files = indexed_files(index)
            return files is not None and all(os.path.isfile(snapshot / name) for name in files)
        if os.path.isfile(snapshot / weights):
            return True
    # One file may have any name. One out of several has a number in it, and an index beside it.
    return not is_mistral and any(name.endswith(".safetensors") for name in os.listdir(snapshot))


def indexed_files(index: Path) -> set[str] | None:
    """Give the names of the files that an index of weights lists; None where there is none to read."""
    try:
        with open_regular(index) as file:
            return files_in_index(file.read(INDEX_BYTES_MAX))
    except OSError:
        return None


def files_in_index(content: bytes) -> set[str] | None:
    """Give None for what is no index: names only, because what lies beside the folder is nobody's weights."""
    try:
        names = set(json.loads(content)["weight_map"].values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    are_names = all(isinstance(name, str) and name not in ("", ".", "..") and "/" not in name for name in names)
    return names if names and are_names else None


def locks_of(model: str, cache: Path) -> Path:
    """The folder for what processes say to each other about a model: huggingface_hub keeps its locks there too."""
    return cache / ".locks" / repository_of(model, cache).name


def find_in_caches(model: str, caches: Iterable[Path], name: str) -> Path | None:
    """Give the first version in these caches that holds a file of this name."""
    for cache in caches:
        snapshot = find_snapshot(repository_of(model, cache))
        if snapshot is not None and os.path.isfile(snapshot / name):
            return snapshot
    return None

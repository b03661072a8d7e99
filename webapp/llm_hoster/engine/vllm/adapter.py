"""
LoRA adapters of the person's own: found and read before vLLM starts, which would look at them only after minutes, and
again while it serves.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llm_hoster.errors import ArchitectureError, SessionError
from llm_hoster.fit.safetensors import read_header
from llm_hoster.regular_file import open_regular

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG_BYTES_MAX = 2**20
ADAPTERS_MAX = 32
# The ranks for which vLLM 0.32 makes room (MaxLoRARanks in vllm/config/lora.py).
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# vLLM's own default. Room for smaller ones alone would shut out most adapters that are trained later, and saves little.
RANK_LEAST = 16
# Adapters of which one batch may mix questions. Each takes GPU memory, also while nobody uses it: some 80 MiB for
# a model of 8 billion parameters at rank 16, 400 MiB for one of 70 billion. So there is a place for each that is there,
# and two at least: a new adapter is compared with an old one, and with one place its questions would wait until nobody
# asks the other. The next restart counts what is there then.
MIXED_LEAST = 2
MIXED_MAX = 4
# What vLLM keeps in the job's memory, at the size of its file. What was replaced or taken away stays there until room
# is needed; then what is served goes too, and is read again from a folder that may have changed.
KEPT_MAX = 64
# Opens vLLM's routes for adapters, on its private socket.
RUNTIME_VARIABLES = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
# Kinds of adapters that vLLM refuses, by the field of adapter_config.json that says so.
REFUSED_KINDS = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "lora_bias": "LoRA with a bias",
    "alora_invocation_tokens": "activated LoRA",
    "layer_replication": "LoRA with replicated layers",
}


@dataclass(frozen=True)
class Adapter:
    """
    `name` is what a question names as its model; `stamp` changes with its files.

    `is_alone`: its folder is the form's own, so that no other can come to lie beside it.
    """

    name: str
    folder: Path
    rank: int
    stamp: str = ""
    is_alone: bool = False


@dataclass(frozen=True)
class Found:
    """What a folder holds; `faults` has a sentence for each adapter, by its name, that cannot be served."""

    adapters: Sequence[Adapter]
    faults: Mapping[str, str]


def find_adapters(folder: Path, served_model_name: str) -> list[Adapter]:
    """Read the adapter in a folder, or those in its sub-folders; raise SessionError when it holds none to serve."""
    found = look_for_adapters(folder, served_model_name)
    for sentence in found.faults.values():
        raise SessionError(sentence)
    if not found.adapters:
        raise _wrong_number(folder, "no")
    return list(found.adapters)


def look_for_adapters(folder: Path, served_model_name: str) -> Found:
    """Leave out what cannot be served; raise SessionError when the folder cannot be read, or holds too many."""
    try:
        is_alone = (folder / CONFIG).exists()
        folders = [folder] if is_alone else sorted(each.parent for each in folder.glob(f"*/{CONFIG}"))
        os.listdir(folder)  # glob is silent about a folder that is not there, or may not be read.
    except OSError as error:
        raise SessionError(
            f"{folder}: this LoRA folder cannot be read on the node {os.uname().nodename} ({error.strerror}). "
            "Correct it in the form, or leave it empty."
        ) from error
    if len(folders) > ADAPTERS_MAX:
        raise _wrong_number(folder, str(len(folders)))
    adapters: dict[str, Adapter] = {}
    faults: dict[str, str] = {}
    for each in folders:
        name = name_of(each)
        try:
            if name == served_model_name or name in adapters:
                raise SessionError(
                    f"{each}: its name would be {name}, which another model of this session has. Give the folder "
                    "another name."
                )
            adapters[name] = replace(read_adapter(each), is_alone=is_alone)
        except SessionError as error:
            faults.setdefault(name, str(error))
    return Found(list(adapters.values()), faults)


def name_of(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-") or "adapter"


def adapter_arguments(adapters: Sequence[Adapter], room: Sequence[Adapter] | None = None) -> list[str]:
    """
    Make room for adapters and load them; `room` are those for which it is made, where these are others.

    Each is written as JSON, because vLLM takes NAME=PATH apart at commas and equals signs.
    """
    room = adapters if room is None else room
    if not room:
        return []
    modules = [json.dumps({"name": adapter.name, "path": str(adapter.folder)}) for adapter in adapters]
    least = 1 if room[0].is_alone else MIXED_LEAST
    return [
        *("--enable-lora", "--max-lora-rank", str(rank_max(room))),
        *("--max-loras", str(min(max(len(room), least), MIXED_MAX)), "--max-cpu-loras", str(KEPT_MAX)),
        # vLLM's default is one for each replica, and none would know what another has loaded: so it would not start.
        *("--api-server-count", "1"),
        *(["--lora-modules", *modules] if modules else []),
    ]


def rank_max(adapters: Sequence[Adapter]) -> int:
    """Give the largest rank for which vLLM makes room."""
    return next(each for each in RANKS if each >= max([RANK_LEAST, *(adapter.rank for adapter in adapters)]))


def check_weights(adapter: Adapter) -> None:
    """Raise SessionError for weights that are damaged, or are being written."""
    try:
        read_header(adapter.folder / WEIGHTS)
    except ArchitectureError as error:
        raise SessionError(
            f"{adapter.folder / WEIGHTS}: not whole: it is being written, or is damaged. Look again when it is done."
        ) from error


def _wrong_number(folder: Path, number: str) -> SessionError:
    return SessionError(
        f"{folder}: {number} LoRA adapters are in this folder, expected 1 to {ADAPTERS_MAX}: {CONFIG} and {WEIGHTS} in "
        "the folder itself, or in sub-folders of it."
    )


def read_adapter(folder: Path) -> Adapter:
    """Raise SessionError for what vLLM cannot serve."""
    stamp = _stamp(folder)
    config = _read_config(folder / CONFIG)
    for field, kind in REFUSED_KINDS.items():
        if config.get(field):
            raise SessionError(f"{folder / CONFIG}: this adapter is {kind} ({field}), which vLLM cannot serve.")
    if not os.path.isfile(folder / WEIGHTS):
        raise SessionError(
            f"{folder}: {WEIGHTS} is missing. Save the adapter again as safetensors; other formats may carry programs."
        )
    patterns = config.get("rank_pattern") or {}
    ranks = [config.get("r"), *(patterns.values() if isinstance(patterns, dict) else [None])]
    if not all(type(rank) is int and 0 < rank <= RANKS[-1] for rank in ranks):
        raise SessionError(f"{folder / CONFIG}: rank (r) {ranks[0]!r} is not a whole number from 1 to {RANKS[-1]}.")
    return Adapter(name_of(folder), folder, max(rank for rank in ranks if rank is not None), stamp)


def _stamp(folder: Path) -> str:
    """Describe both files without reading them; taken first, so that what changes meanwhile is seen the next time."""
    parts = []
    for name in (CONFIG, WEIGHTS):
        try:
            status = os.stat(folder / name)
        except OSError:
            continue
        parts.append(f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}")
    return " ".join(parts)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            config = json.loads(file.read(CONFIG_BYTES_MAX))
    except OSError as error:
        raise SessionError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise SessionError(f"{path}: not the description of a LoRA adapter ({error}).") from error
    if not isinstance(config, dict):
        raise SessionError(f"{path}: not the description of a LoRA adapter (expected a JSON object).")
    return config

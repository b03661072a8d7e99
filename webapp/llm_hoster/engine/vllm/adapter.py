"""LoRA adapters of the person's own: found and read before vLLM starts, which would look at them only after minutes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_hoster.errors import SessionError
from llm_hoster.regular_file import open_regular

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG_BYTES_MAX = 2**20
ADAPTERS_MAX = 32
# The ranks for which vLLM 0.32 makes room (MaxLoRARanks in vllm/config/lora.py).
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Adapters of which one batch may mix questions. Each takes GPU memory, also while nobody uses it.
MIXED_MAX = 4
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
    """`name` is what a question names as its model."""

    name: str
    folder: Path
    rank: int


def find_adapters(folder: Path, served_model_name: str) -> list[Adapter]:
    """Read the adapter in a folder, or those in its sub-folders; raise SessionError when it holds none to serve."""
    try:
        folders = [folder] if (folder / CONFIG).exists() else sorted(each.parent for each in folder.glob(f"*/{CONFIG}"))
        os.listdir(folder)  # glob is silent about a folder that is not there, or may not be read.
    except OSError as error:
        raise SessionError(
            f"{folder}: this LoRA folder cannot be read on the node {os.uname().nodename} ({error.strerror}). "
            "Correct it in the form, or leave it empty."
        ) from error
    if not 0 < len(folders) <= ADAPTERS_MAX:
        raise SessionError(
            f"{folder}: {len(folders) or 'no'} LoRA adapters are in this folder, expected 1 to {ADAPTERS_MAX}: "
            f"{CONFIG} and {WEIGHTS} in the folder itself, or in sub-folders of it."
        )
    adapters = [_read(each) for each in folders]
    names = [served_model_name]
    for adapter in adapters:
        if adapter.name in names:
            raise SessionError(
                f"{adapter.folder}: its name would be {adapter.name}, which another model of this session has. "
                "Give the folder another name."
            )
        names.append(adapter.name)
    return adapters


def adapter_arguments(adapters: Sequence[Adapter]) -> list[str]:
    """Write each as JSON, because vLLM takes NAME=PATH apart at commas and equals signs."""
    if not adapters:
        return []
    modules = [json.dumps({"name": adapter.name, "path": str(adapter.folder)}) for adapter in adapters]
    rank = next(each for each in RANKS if each >= max(adapter.rank for adapter in adapters))
    arguments = ["--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", *modules]
    if len(adapters) > 1:
        arguments += ["--max-loras", str(min(len(adapters), MIXED_MAX)), "--max-cpu-loras", str(len(adapters))]
    return arguments


def _read(folder: Path) -> Adapter:
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
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-") or "adapter"
    return Adapter(name, folder, max(rank for rank in ranks if rank is not None))


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

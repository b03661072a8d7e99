"""A LoRA adapter for the tiny model, as PEFT writes one: two small matrices in a safetensors file."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

HIDDEN = 64


def write_adapter(folder: Path, rank: int = 8, *, module: str = "q_proj", value: float = 0.0) -> Path:
    """The weights are all sorts of numbers up to `value`: with 0 it changes nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": [module], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    prefix = f"base_model.model.model.layers.0.self_attn.{module}"
    size = rank * HIDDEN * 4
    tensors = {
        f"{prefix}.lora_A.weight": {"dtype": "F32", "shape": [rank, HIDDEN], "data_offsets": [0, size]},
        f"{prefix}.lora_B.weight": {"dtype": "F32", "shape": [HIDDEN, rank], "data_offsets": [size, 2 * size]},
    }
    header = json.dumps(tensors).encode()
    weights = b"".join(struct.pack("<f", value * math.sin(number)) for number in range(2 * rank * HIDDEN))
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + weights)
    return folder

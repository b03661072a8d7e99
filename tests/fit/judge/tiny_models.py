"""
Make the tiny models with random weights, as safetensors and config.json: `python tiny_models.py FOLDER`.

Run by an engine's own Python, which has torch and transformers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from model_configs import COMMON, MODELS, PUBLISHED
from transformers import AutoConfig, AutoModelForCausalLM


def make(name: str, folder: Path) -> None:
    config = AutoConfig.for_model(**(COMMON | MODELS[name]))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    for parameter, buffer in model.named_buffers():
        if parameter.endswith("e_score_correction_bias"):
            # Published checkpoints hold it so.
            buffer.data = buffer.data.float()
    model.save_pretrained(folder)
    if name in PUBLISHED:
        path = folder / "config.json"
        written = {key: value for key, value in json.loads(path.read_text()).items() if key != "per_layer_config"}
        path.write_text(json.dumps(written | PUBLISHED[name]))


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name in MODELS:
        make(name, folder / name)


if __name__ == "__main__":
    main()

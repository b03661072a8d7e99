"""Models as their publishers lay them out, small enough to make on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.catalogue.small_site import CONFIG

QWEN3: dict[str, Any] = {**CONFIG, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 64}
TEMPLATE = {"chat_template": "{{ messages }}"}
README = "---\nlicense: apache-2.0\npipeline_tag: text-generation\n---\n# Model\n"
INDEX = {"metadata": {"total_size": 2_000_000_000}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}


def weights(size: int = 24) -> bytes:
    """A safetensors file with one tensor of so many bytes."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


def write_model(folder: Path, config: dict[str, Any] = QWEN3, readme: str = README) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(TEMPLATE))
    (folder / "README.md").write_text(readme)
    (folder / "model.safetensors").write_bytes(weights())
    return folder

"""A model of several GiB that vLLM can load, with weights that mean nothing: for measuring how fast they are read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

HIDDEN, NETWORK, HEADS, KEY_HEADS = 4096, 14336, 32, 8
ELEMENT_BYTES = 2
LAYERS_PER_FILE = 2
NOISE_BYTES = 64 * 2**20
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")

Shapes = dict[str, list[int]]


def make_model(folder: Path, gib: float, tokenizer_of: Path) -> None:
    """Write a Llama of about this size: few layers, each with the matrices of an 8B model."""
    folder.mkdir(parents=True)
    vocabulary = json.loads((tokenizer_of / "config.json").read_text())["vocab_size"]
    layer_bytes = sum(size_of(shape) for shape in layer_shapes(0).values())
    num_layers = max(1, round(gib * 2**30 / layer_bytes))
    (folder / "config.json").write_text(json.dumps(config(num_layers, vocabulary)))
    for name in TOKENIZER_FILES:
        if (tokenizer_of / name).exists():
            shutil.copyfile(tokenizer_of / name, folder / name)
    noise = os.urandom(NOISE_BYTES)
    outer = {
        "model.embed_tokens.weight": [vocabulary, HIDDEN],
        "model.norm.weight": [HIDDEN],
        "lm_head.weight": [vocabulary, HIDDEN],
    }
    parts: list[Shapes] = [outer]
    for first in range(0, num_layers, LAYERS_PER_FILE):
        layers = range(first, min(first + LAYERS_PER_FILE, num_layers))
        parts.append({name: shape for layer in layers for name, shape in layer_shapes(layer).items()})
    weight_map: dict[str, str] = {}
    for number, shapes in enumerate(parts, 1):
        name = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        write_safetensors(folder / name, shapes, noise)
        weight_map |= dict.fromkeys(shapes, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def config(num_layers: int, vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": NETWORK,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "num_hidden_layers": num_layers,
        "vocab_size": vocabulary,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 0,
        "eos_token_id": 1,
    }


def layer_shapes(layer: int) -> Shapes:
    width = HIDDEN // HEADS * KEY_HEADS
    shapes = {
        "self_attn.q_proj.weight": [HIDDEN, HIDDEN],
        "self_attn.k_proj.weight": [width, HIDDEN],
        "self_attn.v_proj.weight": [width, HIDDEN],
        "self_attn.o_proj.weight": [HIDDEN, HIDDEN],
        "mlp.gate_proj.weight": [NETWORK, HIDDEN],
        "mlp.up_proj.weight": [NETWORK, HIDDEN],
        "mlp.down_proj.weight": [HIDDEN, NETWORK],
        "input_layernorm.weight": [HIDDEN],
        "post_attention_layernorm.weight": [HIDDEN],
    }
    return {f"model.layers.{layer}.{name}": shape for name, shape in shapes.items()}


def size_of(shape: list[int]) -> int:
    size = ELEMENT_BYTES
    for each in shape:
        size *= each
    return size


def write_safetensors(path: Path, shapes: Shapes, noise: bytes) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + size_of(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        while end:
            end -= file.write(noise[:end])
        os.fsync(file.fileno())

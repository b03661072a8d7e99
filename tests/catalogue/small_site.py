"""The smallest site and models, without a fault, for tests to change."""

from __future__ import annotations

import json
from pathlib import Path

SITE = """\
name: "Site"
cluster: "c"
support_url: "https://example.org"
prefix: "/sw"
app: "1"
cache_dir: "/cache"
data_dir: "/data"
node_dir: "/tmp"
proxy: "node"
ports: {first: 40000, last: 60000}
hf_offline: false
account: "bc_account"
core_weight: 1.0
defaults: {model: "m", gpu_type: "g", num_gpus: 1, hours: 1}
engines:
  - {name: "e", kind: "venv", accelerator: "cuda"}
partitions:
  - {name: "p", gpus_per_node: 2, cores_per_node: 16, memory_per_core_gb: 4, max_hours: 48}
qos:
  - {name: "q", max_hours: 24, charge: 1}
gpu_types:
  - name: "g"
    title: "G"
    partition: "p"
    gres: "g"
    memory_gib: 24
    compute_capability: 8.0
    su_weight: 10
    num_gpus: [1, 2]
    cores_per_gpu: 8
    cores_per_gpu_max: 8
    qos: {q: {per_user: 2, total: 4}}
    engine: "e"
"""
# The same with a place on two nodes of two GPUs, which strangers could reach.
TWO_NODES = (
    SITE.replace("num_gpus: [1, 2]", "num_gpus: [1, 2, 4]\n    max_nodes: 2")
    .replace("{per_user: 2, total: 4}", "{per_user: 4}")
    .replace("core_weight: 1.0", 'core_weight: 1.0\nnetwork: {interface: "ib0", env: {NCCL_IB_HCA: "mlx5_0"}}')
)
MODELS = """\
models:
  - name: "m"
    title: "M"
    source: "owner/m"
    licence: "MIT"
    group: "Tests"
    good_for: "tests"
    config: "m.json"
    max_model_len: null
"""
# 2.0 GiB of weights: a Llama of one billion parameters.
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
DATA_FILE = {"model": "owner/m", "read_from": {"folder": "m"}, "weights_bytes": None, "config": CONFIG}


def write_small(folder: Path, site: str = SITE, models: str = MODELS) -> Path:
    """Write the site with its models, and the configuration of `m` beside them; give the path of site.yml."""
    (folder / "models.yml").write_text(models)
    (folder / "m.json").write_text(json.dumps(DATA_FILE))
    path = folder / "site.yml"
    path.write_text(site)
    return path


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)

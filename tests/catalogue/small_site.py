"""The smallest site and models, without a fault, for tests to change."""

from __future__ import annotations

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
    su_weight: 10
    num_gpus: [1, 2]
    cores_per_gpu: 8
    cores_per_gpu_max: 8
    qos: {q: {per_user: 2, total: 4}}
    engine: "e"
"""
MODELS = """\
models:
  - name: "m"
    title: "M"
    source: "owner/m"
    licence: "MIT"
    good_for: "tests"
    weights_gib: 4.0
    max_model_len: null
"""


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)

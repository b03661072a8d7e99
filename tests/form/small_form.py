"""A site and a catalogue made up so that each sentence of the preview has a choice that brings it about."""

from __future__ import annotations

from typing import Any

import yaml

from llm_hoster.catalogue.compiled import Catalogue, Verdict
from llm_hoster.catalogue.preset import PRESETS
from llm_hoster.catalogue.sentences import CHOICE_SENTENCES
from llm_hoster.catalogue.site import Site

SITE = Site.model_validate(
    yaml.safe_load("""
name: "Site"
cluster: "local"
support_url: "https://example.org"
prefix: "/sw"
app: "1"
cache_dir: "/cache"
data_dir: "/data"
node_dir: "/tmp"
proxy: "node"
ports: null
hf_offline: false
account: "auto_accounts"
allocations:
  - {accounts: "*-general", su: 2000.0, period: "month"}
  - {accounts: "big?_*", su: 7500000.0, period: "year"}
core_weight: 1.0
defaults: {model: "small", gpu_type: "l40", num_gpus: 1, hours: 1, idle_minutes: 60}
engines:
  - {name: "e", kind: "venv", accelerator: "cuda"}
partitions:
  - {name: "al40", gpus_per_node: 4, cores_per_node: 64, memory_per_core_gb: 4.0, max_hours: 168}
  - {name: "ah200", gpus_per_node: 2, cores_per_node: 64, memory_per_core_gb: 12.0, max_hours: 168}
qos:
  - {name: "normal", max_hours: 24, charge: 1.0}
  - {name: "long", max_hours: 168, charge: 1.0}
  - {name: "testing", max_hours: 1, charge: 0.1}
gpu_types:
  - {name: "slice", title: "NVIDIA H200 slice", partition: "ah200", gres: "slice", memory_gib: 16.0, is_slice: true,
     su_weight: 40.0, num_gpus: [1], cores_per_gpu: 8, cores_per_gpu_max: 8, engine: "e", qos: {normal: {}}}
  - {name: "l40", title: "NVIDIA L40", partition: "al40", gres: "l40", memory_gib: 44.5, su_weight: 108.6,
     num_gpus: [1, 2, 4], cores_per_gpu: 10, cores_per_gpu_max: 16, engine: "e",
     qos: {normal: {}, long: {per_user: 2}, testing: {per_user: 1}}}
  - {name: "h200", title: "NVIDIA H200", partition: "ah200", gres: "h200", memory_gib: 139.7, su_weight: 370.4,
     num_gpus: [1, 2], cores_per_gpu: 32, cores_per_gpu_max: 32, engine: "e", qos: {normal: {}, long: {per_user: 1}}}
  - {name: "cpu", title: "No GPU", note: "for trying things out", partition: "al40", gres: null, memory_gib: 0.0,
     su_weight: 600.0, num_gpus: [1], cores_per_gpu: 4, cores_per_gpu_max: 4, engine: "e", qos: {}}
"""),
    strict=True,
)
# Each with the GPUs of a user's limit in mind: `long` gives two L40 or one H200, `testing` one L40.
QOS: dict[tuple[str, str], list[tuple[str | None, int, float]]] = {
    ("slice", "1"): [("normal", 24, 48.0)],
    ("l40", "1"): [("normal", 24, 118.6), ("long", 168, 118.6), ("testing", 1, 11.86)],
    ("l40", "2"): [("normal", 24, 237.2), ("long", 168, 237.2)],
    ("l40", "4"): [("normal", 24, 474.4)],
    ("h200", "1"): [("normal", 24, 402.4), ("long", 168, 402.4)],
    ("h200", "2"): [("normal", 24, 804.8)],
    ("cpu", "1"): [(None, 24, 604.0)],
}
# Places that one person may have twice at a time.
CHAINS = {("l40", "1"): 3, ("cpu", "1"): 2}
PLACES = [("slice", "1"), ("l40", "1"), ("l40", "2"), ("h200", "1"), ("l40", "4"), ("cpu", "1"), ("h200", "2")]
TITLES = {"small": "Small 4B", "large": "Large 70B", "huge": "Huge 405B"}
GROUPS = {"small": "Everyday chat", "large": "Everyday chat", "huge": "Reasoning"}
FIT_SENTENCES = {
    "memory": "does not fit: it needs %{needed} GiB on each GPU, %{usable} GiB are usable",
    "accelerator": "does not run: this is another kind of GPU",
    "quantised": "cannot be quantised while loading: it is quantised already",
}
VARIANTS = [f"{quantization}/{preset}" for quantization in ("none", "fp8_per_tensor") for preset in PRESETS]


def fit(
    weights: float,
    overhead: float,
    kv_cache: float,
    longest: int,
    people: list[int],
    tight: bool = False,
    replicas: int = 1,
) -> Verdict:
    return Verdict(
        weights_gib=weights,
        overhead_gib=overhead,
        kv_cache_gib=kv_cache,
        max_model_len=longest,
        people=people,
        tight=tight,
        replicas=replicas,
    )


def refuse(kind: str, **values: str) -> Verdict:
    return Verdict.model_validate({"refusal": {"kind": kind, "values": values}})


TOO_BIG = refuse("memory", needed="72.4", usable="40.9")
# By model, place and variant; a place that is not named has no room.
FITS: dict[str, dict[tuple[str, str], dict[str, Verdict]]] = {
    "small": {
        ("slice", "1"): {
            "none/interactive": fit(7.5, 2.5, 4.7, 6000, [2, 1], tight=True),
            "none/long-context": fit(7.5, 2.5, 4.7, 12000, [4, 2, 1]),
            "fp8_per_tensor/interactive": fit(3.8, 2.5, 8.4, 11000, [4, 2, 1]),
        },
        ("l40", "1"): {
            "none/interactive": fit(7.5, 2.5, 31.0, 40960, [62, 31, 15, 7, 6]),
            "none/long-context": fit(7.5, 2.5, 31.0, 81920, [124, 62, 31, 15, 7, 6]),
            "fp8_per_tensor/interactive": fit(3.8, 2.5, 34.7, 44000, [68, 34, 17, 8, 6]),
        },
        ("l40", "2"): {
            "none/interactive": fit(3.8, 2.6, 34.6, 131072, [138, 69, 34, 17, 8, 4]),
            "none/throughput": fit(7.5, 2.5, 31.0, 40960, [124, 62, 30, 14, 12], replicas=2),
        },
        ("l40", "4"): {
            "none/interactive": fit(1.9, 2.6, 36.5, 131072, [292, 146, 73, 36, 18, 9]),
            "none/throughput": fit(3.8, 2.6, 34.6, 131072, [276, 138, 68, 34, 16, 8], replicas=2),
        },
        ("h200", "1"): {"none/interactive": fit(7.5, 2.5, 118.6, 131072, [237, 118, 59, 29, 14, 7])},
        ("h200", "2"): {"none/interactive": fit(3.8, 2.6, 122.2, 131072, [488, 244, 122, 61, 30, 15])},
        ("cpu", "1"): {variant: Verdict(max_model_len=131072) for variant in VARIANTS},
    },
    "large": {
        ("slice", "1"): {"none/interactive": refuse("accelerator"), "none/long-context": refuse("accelerator")},
        ("l40", "1"): {"fp8_per_tensor/interactive": fit(33.9, 2.5, 4.6, 14000, [3, 1, 1], tight=True)},
        ("l40", "2"): {"none/interactive": fit(33.9, 2.6, 4.5, 28000, [6, 3, 1, 1])},
        ("h200", "1"): {"none/interactive": fit(67.7, 2.5, 58.3, 131072, [116, 58, 29, 14, 7, 1])},
        ("h200", "2"): {"none/interactive": fit(33.9, 2.6, 92.1, 131072, [366, 183, 91, 45, 22, 11])},
    },
    "huge": {
        ("h200", "2"): {
            "fp8_per_tensor/interactive": fit(101.0, 2.6, 25.0, 50000, [25, 12, 6, 3, 2]),
            "fp8_per_tensor/long-context": fit(101.0, 2.6, 25.0, 100000, [50, 25, 12, 6, 3, 2]),
        }
    },
}


def small_catalogue() -> Catalogue:
    return Catalogue.model_validate(
        {
            "format": 2,
            "made_from": [],
            "site": make_site_values(),
            "engines": [{"name": "e", "kind": "venv", "target": "/e", "accelerator": "cuda", "args": [], "env": {}}],
            "models": [make_model(name, title) for name, title in TITLES.items()],
            "left_out": [],
            "gpu_types": [
                each.model_dump(
                    include={"name", "title", "memory_gib", "compute_capability", "is_slice", "engine", "note"}
                )
                for each in SITE.gpu_types
            ],
            "offers": make_offers(),
            "places": PLACES,
            "quantizations": [
                {"name": "none", "title": "As published"},
                {"name": "fp8_per_tensor", "title": "FP8 while loading: half the memory, nearly the same answers"},
            ],
            "presets": [{"name": name, "title": preset.title} for name, preset in PRESETS.items()],
            "context_lengths": [4096, 8192, 16384, 32768, 65536, 131072, 262144],
            "idle_minutes_max": 1440,
            "sentences": CHOICE_SENTENCES | FIT_SENTENCES,
            "fits": make_fits(),
        }
    )


def make_site_values() -> dict[str, Any]:
    names = (
        "name", "cluster", "support_url", "prefix", "cache_dir", "data_dir", "node_dir", "proxy", "ports",
        "hf_offline", "core_weight", "app", "portal_command", "balance_command",
    )  # fmt: skip
    return SITE.model_dump(include={*names, "allocations"})


def make_model(name: str, title: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "source": f"owner/{name}",
        "licence": "MIT",
        "group": GROUPS[name],
        "good_for": "tests",
        "weights_gib": 7.5,
        "max_model_len": None,
        "engine": None,
        "args": [],
    }


def make_offers() -> dict[str, dict[str, Any]]:
    offers: dict[str, dict[str, Any]] = {}
    for (name, num_gpus), qos in QOS.items():
        gpu_type = next(each for each in SITE.gpu_types if each.name == name)
        offers.setdefault(name, {})[num_gpus] = {
            "partition": gpu_type.partition,
            "gres": gpu_type.gres and f"gpu:{gpu_type.gres}:{num_gpus}",
            "constraint": None,
            "nodes": 1,
            "cores": gpu_type.cores_per_gpu * int(num_gpus),
            "memory_gib": 64,
            "qos": [
                {
                    "name": name,
                    "max_hours": hours,
                    "su_per_hour": su,
                    "chain_max": CHAINS.get((gpu_type.name, num_gpus), 1),
                }
                for name, hours, su in qos
            ],
        }
    return offers


def make_fits() -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    fits: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for model, table in FITS.items():
        for gpu_type, num_gpus in QOS:
            known = table.get((gpu_type, num_gpus), {})
            for variant in VARIANTS:  # Throughput differs from interactive by little.
                known.setdefault(variant, known.get(variant.replace("throughput", "interactive"), TOO_BIG))
            verdicts = {variant: known[variant].model_dump() for variant in VARIANTS}
            fits.setdefault(model, {}).setdefault(gpu_type, {})[num_gpus] = verdicts
    return fits

"""The app as a site installs it: OnDemand's files, a site file of the test's own, and form.yml made from it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from portal.demo_app import copy_app_files

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL_FOLDER = """tiny model, "the lab's" copy"""
HOLLOW_FOLDER = "no weights"
# The site of the tests says hf_offline, so no request leaves the machine.
ABSENT_MODEL = "llm-hoster/no-such-model"
CACHE_DIR = "/srv/scratch/$USER/llm-hoster"
DATA_DIR = "/srv/projects/$USER/the lab's data"
# A short path of the cluster's own: the machine's /tmp must not fill up with what a broken session leaves.
NODE_DIR = "/run/tmp"


def make_site_app(folder: Path, prefix: Path) -> Path:
    """Lay out the app in `folder`/app with models beside it; all users must be able to read `folder`."""
    app = folder / "app"
    copy_app_files(app)
    (app / "config").mkdir()
    models = folder / "models"
    shutil.copytree(prefix / "models" / "tiny", models / MODEL_FOLDER)
    shutil.copytree(models / MODEL_FOLDER, models / HOLLOW_FOLDER, ignore=shutil.ignore_patterns("*.safetensors"))
    write_yaml(app / "config" / "site.yml", make_site(prefix))
    write_yaml(app / "config" / "models.yml", make_models(models))
    command = [str(prefix / "app" / "dev" / "bin" / "llm-hoster"), "configure"]
    command += ["--site", str(app / "config" / "site.yml"), "--models", str(app / "config" / "models.yml")]
    done = subprocess.run([*command, "--app", str(app)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return app


def make_site(prefix: Path) -> dict[str, Any]:
    """Turn the demo's site into the cluster's: a partition without GPUs, and one with typed (fake) ones."""
    site: dict[str, Any] = yaml.safe_load((REPOSITORY / "config" / "sites" / "local.yml").read_text())
    site |= {
        "name": "Test cluster",
        "cluster": "test",
        "prefix": str(prefix),
        "cache_dir": CACHE_DIR,
        "data_dir": DATA_DIR,
        "node_dir": NODE_DIR,
        "models": "models.yml",
        "account": "bc_account",
    }
    site["partitions"] = [
        make_partition("cpu", gpus_per_node=0),
        make_partition("gpu", gpus_per_node=2),
    ]
    cpu = site["gpu_types"][0] | {"partition": "cpu"}
    fake = cpu | {"name": "fake", "title": "Fake GPU", "partition": "gpu", "gres": "fake", "su_weight": 100.0}
    site["gpu_types"] = [cpu, fake]
    return site


def make_partition(name: str, gpus_per_node: int) -> dict[str, Any]:
    return {
        "name": name,
        "gpus_per_node": gpus_per_node,
        "cores_per_node": 16,
        "memory_per_core_gb": 2.2,
        "local_disk_gb": 10,
        "max_hours": 24,
    }


def make_models(models: Path) -> dict[str, Any]:
    """Three models of one kind; the engines of the last two must die while they start, for want of the model."""
    common = {
        "licence": "MIT",
        "group": "Tests",
        "good_for": "tests",
        "max_model_len": None,
        "args": ["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"],
    }
    tiny = {"name": "tiny", "title": "Tiny model", "source": str(models / MODEL_FOLDER), **common}
    hollow = {"name": "hollow", "title": "Model without weights", "source": str(models / HOLLOW_FOLDER), **common}
    absent = {"name": "absent", "title": "Model that is not in the cache", "source": ABSENT_MODEL, **common}
    return {"models": [tiny, hollow, absent]}


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))

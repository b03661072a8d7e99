"""The app's files in a folder of their own, as configured for Alpine or for the demo."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from llm_hoster.launch.configure import render_files

REPOSITORY = Path(__file__).resolve().parents[2]
APP_FILES = ("submit.yml.erb", "view.html.erb", "info.md.erb", "completed.md.erb", "config", "template")


def copy_app(folder: Path, site: str) -> Path:
    """Copy what OnDemand reads and configure the copy for one of the repository's sites."""
    folder.mkdir()
    for name in APP_FILES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    for name, text in render_files(folder / site, None, folder).items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def alpine_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_app(tmp_path_factory.mktemp("alpine") / "app", "config/site.yml")


@pytest.fixture(scope="session")
def local_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_app(tmp_path_factory.mktemp("local") / "app", "config/sites/local.yml")


@pytest.fixture
def own_app(tmp_path: Path) -> Path:
    """A copy that the test may spoil."""
    return copy_app(tmp_path / "app", "config/site.yml")

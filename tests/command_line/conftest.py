"""A home folder of the test's own, the demo's app, and small programs in the place of Slurm's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ood.conftest import local_app
from tests.staged_sessions import home, stage

__all__ = ["home", "local_app", "stage"]

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Write a program that is found first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def write(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)

    return write


@pytest.fixture
def app(local_app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that the test may spoil, where commands look for the site's app."""
    copy = shutil.copytree(local_app, tmp_path / "app")
    monkeypatch.setenv("LLM_HOSTER_APP", str(copy))
    return copy

"""Which folder is the app's."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_hoster.catalogue import app_dir
from llm_hoster.catalogue.app_dir import find_app_dir, find_own_app_dir
from llm_hoster.errors import ConfigError


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """One for each way to find it; none is an app yet, and the program is of no checkout."""
    found = {name: tmp_path / name for name in ("current", "named", "for_everybody")}
    for folder in found.values():
        folder.mkdir()
    monkeypatch.setattr(app_dir, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.setattr(app_dir, "FOR_EVERYBODY", found["for_everybody"])
    monkeypatch.delenv("LLM_HOSTER_APP", raising=False)
    monkeypatch.chdir(found["current"])
    return found


def test_the_current_folder_counts_for_those_who_look_after_the_app_only(folders: dict[str, Path]) -> None:
    (folders["current"] / "manifest.yml").touch()
    assert find_app_dir() == folders["current"]
    with pytest.raises(ConfigError, match=r"No manifest.yml here, nor in .*/for_everybody"):
        find_own_app_dir()


def test_what_the_site_has_laid_beside_the_program_is_found(folders: dict[str, Path]) -> None:
    (folders["for_everybody"] / "manifest.yml").touch()
    assert find_app_dir() == find_own_app_dir() == folders["for_everybody"]


def test_the_variable_comes_first(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in folders.values():
        (folder / "manifest.yml").touch()
    monkeypatch.setenv("LLM_HOSTER_APP", str(folders["named"]))
    assert find_app_dir() == find_own_app_dir() == folders["named"]
    (folders["named"] / "manifest.yml").unlink()
    with pytest.raises(ConfigError, match=r"named: holds no manifest\.yml"):
        find_app_dir()

"""`llm-hoster configure`: the committed files are fresh, and a stale one is noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.errors import ConfigError
from llm_hoster.launch.configure import configure
from tests.catalogue.small_site import MODELS, TWO_NODES, changed, write_small

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The demo's site in the place of the app's own: it is compiled in no time."""
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    site = (tmp_path / "config" / "sites" / "local.yml").read_text()
    (tmp_path / "config" / "site.yml").write_text(site.replace("../models-local.yml", "models-local.yml"))
    run("--app", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> str:
    return CliRunner().invoke(configure, arguments, catch_exceptions=False).output


def test_the_committed_form_and_catalogue_are_fresh() -> None:
    assert run("--app", str(REPOSITORY), "--check") == ""


def test_configure_says_what_it_wrote(app: Path) -> None:
    assert run("--app", str(app)) == "".join(
        f"{app}/{name}: written\n" for name in ("form.yml", "form.js", "catalogue.json")
    )


@pytest.mark.parametrize("name", ["form.yml", "form.js", "catalogue.json"])
def test_a_file_that_was_edited_or_removed_is_stale(app: Path, name: str) -> None:
    (app / name).write_text((app / name).read_text() + " ")
    with pytest.raises(
        ConfigError, match=rf"{name} is not what the site and model files say: run llm-hoster configure"
    ):
        run("--app", str(app), "--check")
    (app / name).unlink()
    with pytest.raises(ConfigError, match=name):
        run("--app", str(app), "--check")


def test_a_changed_model_makes_the_files_stale(app: Path) -> None:
    models = app / "config" / "models-local.yml"
    models.write_text(models.read_text().replace("Tiny model", "Small model"))
    with pytest.raises(ConfigError, match="run llm-hoster configure"):
        run("--app", str(app), "--check")


def test_the_check_writes_nothing(app: Path) -> None:
    (app / "form.yml").write_text("old")
    with pytest.raises(ConfigError):
        run("--app", str(app), "--check")
    assert (app / "form.yml").read_text() == "old"


def test_another_sites_files_can_be_named(app: Path) -> None:
    local = REPOSITORY / "config" / "sites" / "local.yml"
    run("--app", str(app), "--site", str(local))
    catalogue = Catalogue.model_validate(json.loads((app / "catalogue.json").read_text()))
    assert [model.name for model in catalogue.models] == ["tiny"]
    assert catalogue.made_from[0].file == str(local)


def test_models_can_be_named_apart_from_the_site(app: Path) -> None:
    local = REPOSITORY / "config" / "sites" / "local.yml"
    models = app / "mine.yml"
    models.write_text((REPOSITORY / "config" / "models-local.yml").read_text().replace("Tiny model", "Mine"))
    run("--app", str(app), "--site", str(local), "--models", str(models))
    assert "Mine" in (app / "form.yml").read_text()


def test_a_fault_leaves_the_old_files(app: Path) -> None:
    before = (app / "form.yml").read_text()
    (app / "config" / "models-local.yml").write_text("models: []")
    with pytest.raises(ConfigError, match="models"):
        run("--app", str(app))
    assert (app / "form.yml").read_text() == before


def test_several_nodes_are_refused_for_an_engine_that_is_seen_to_lack_ray(tmp_path: Path) -> None:
    bin_dir = tmp_path / "engine" / "e" / "bin"
    bin_dir.mkdir(parents=True)
    (bin_dir / "vllm").touch()
    site = write_small(tmp_path, changed(TWO_NODES, 'prefix: "/sw"', f'prefix: "{tmp_path}"'))
    with pytest.raises(ConfigError, match=r"4 GPUs of g lie on 2 nodes, and .*/engine/e/bin has no ray"):
        run("--site", str(site), "--app", str(tmp_path))
    assert not (tmp_path / "form.yml").exists()
    (bin_dir / "ray").touch()
    run("--site", str(site), "--app", str(tmp_path))
    assert Catalogue.model_validate_json((tmp_path / "catalogue.json").read_text()).offers["g"]["4"].nodes == 2


def test_models_that_fit_nowhere_are_named(tmp_path: Path) -> None:
    models = MODELS + MODELS.removeprefix("models:\n").replace('"m"', '"n"', 1) + '    accelerators: ["rocm"]\n'
    site = write_small(tmp_path, models=models)
    assert "Left out, because they fit on no GPU type of the site: n." in run(
        "--site", str(site), "--app", str(tmp_path)
    )

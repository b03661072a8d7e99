"""
Install LLM Hoster below a prefix: the app, an engine (vLLM) and a tiny model to try them with.

    PREFIX/app/<version>/     the web app and the command llm-hoster; `dev` with --develop
    PREFIX/engine/<name>/     vLLM, named by accelerator and version
    PREFIX/models/tiny/       a model of 0.3 MB

Sessions run from these folders, so the one rule is: a complete folder is never changed. It is complete when
installed.json is in it, which is written last. Standard library only; started by bin/install.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from environment import ON_CPU, REPOSITORY, InstallError, make_app, make_engine, run, vllm_version

COMPLETE = "installed.json"
STARTED = ".installing"
NO_ROCM_INDEX = (
    "vLLM's wheels for ROCm are not on the public package index. vLLM's documentation names their address under "
    "Installation, GPU, AMD ROCm, Pre-built wheels; give it as --index-url ADDRESS."
)
ACCELERATORS = ("cuda", "rocm", "cpu")


def main() -> None:
    """Install what is not there yet; a second run changes nothing and asks no network."""
    arguments = parse_arguments()
    os.umask(0o022)  # the users of the site read what the installing account writes
    try:
        with only_one(arguments.prefix):
            Installation(arguments).run()
    except InstallError as error:
        sys.exit(f"bin/install: {error}")
    except KeyboardInterrupt:
        sys.exit("bin/install: stopped. Run it again: it goes on with the part that was not complete.")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; the prefix becomes absolute."""
    parser = argparse.ArgumentParser(prog="bin/install", description=(__doc__ or "").split("\n\n")[0].strip())
    parser.add_argument("prefix", metavar="PREFIX", type=lambda text: Path(text).absolute())
    parser.add_argument("--engine", choices=ACCELERATORS, help="default: that of the site file's first venv engine")
    parser.add_argument("--engine-name", help="name of the engine's folder; default: made of accelerator and version")
    parser.add_argument(
        "--site", type=Path, default=REPOSITORY / "config" / "site.yml", help="default: config/site.yml"
    )
    parser.add_argument("--index-url", help="with --engine rocm: where vLLM's ROCm wheels are")
    parser.add_argument("--develop", action="store_true", help="app/dev: this folder's own code, with what tests need")
    parser.add_argument("--no-tiny-model", action="store_true", help="leave out PREFIX/models/tiny")
    parser.add_argument("--python", help="the Python to build on; default: the first of python3, python3.12, ...")
    return parser.parse_args()


class Installation:
    """One run: the parts in order, then what the administrator does next."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.prefix: Path = arguments.prefix
        self.is_develop: bool = arguments.develop
        self.started = time.monotonic()

    def run(self) -> None:
        app = self.install_app()
        accelerator = self.arguments.engine or self.site_accelerator(app)
        engine = self.install_engine(accelerator)
        if not self.arguments.no_tiny_model:
            self.install_tiny_model(engine)
        say(f"{self.prefix}: complete, {time.monotonic() - self.started:.1f} s")
        if not self.is_develop:
            say(next_steps(self.prefix, app, engine.name, accelerator))

    def install_app(self) -> Path:
        if self.is_develop:
            lock = REPOSITORY / "requirements" / "test.lock"
            made_from = {"lock": sha256(lock), "source": str(REPOSITORY)}
            name = f"app/dev{architecture_suffix()}"
            return self.install(name, made_from, lambda folder: make_app(folder, lock, editable=True))
        lock = REPOSITORY / "requirements" / "app.lock"
        made_from = {"lock": sha256(lock), "source": sha256(REPOSITORY / "pyproject.toml", REPOSITORY / "webapp")}
        return self.install(
            f"app/{app_version()}{architecture_suffix()}",
            made_from,
            lambda folder: make_app(folder, lock, editable=False),
            changed="its code is another one. Raise __version__ in webapp/llm_hoster/__init__.py, so that the new code "
            "gets a folder of its own",
        )

    def install_engine(self, accelerator: str) -> Path:
        index_url = self.arguments.index_url
        if accelerator == "rocm" and not index_url:
            raise InstallError(NO_ROCM_INDEX)
        # vLLM's ROCm wheels are built for one Python only, and pip would silently take the CUDA build instead.
        needed = (3, 12) if accelerator == "rocm" else (3, 11)
        if sys.version_info < needed or (accelerator == "rocm" and sys.version_info >= (3, 13)):
            wanted = "3.12" if accelerator == "rocm" else "3.11 or newer"
            found = platform.python_version()
            raise InstallError(
                f"The engine for {accelerator} needs Python {wanted}, this is {found}. Give --python PATH."
            )
        lock = engine_lock(accelerator)
        name = self.arguments.engine_name or engine_name(accelerator, lock)
        made_from = {"lock": sha256(lock)} | ({"on_cpu": sha256(ON_CPU)} if accelerator == "cpu" else {})
        return self.install(
            f"engine/{name}",
            made_from,
            lambda folder: make_engine(folder, accelerator, lock, index_url),
            changed=f"its lock file is another one. Give the new engine a name of its own: --engine-name {name}-b",
        )

    def install_tiny_model(self, engine: Path) -> None:
        script = REPOSITORY / "webapp" / "llm_hoster" / "engine" / "tiny_model.py"

        def make(folder: Path) -> None:
            run([engine / "bin" / "python", script, folder], "The tiny model could not be made.")

        # Only a development prefix follows changes of the script: any tiny model will do for `llm-hoster verify`.
        self.install("models/tiny", {"source": sha256(script) if self.is_develop else None}, make)

    def install(self, name: str, made_from: dict[str, Any], make: Callable[[Path], None], changed: str = "") -> Path:
        """Make the folder unless it is complete; `changed` says why another content is refused."""
        folder = self.prefix / name
        installed = read_installed(folder)
        if installed is not None:
            if is_made_from(installed, made_from):
                check_python(folder)
                say(f"{name}: already there")
                return folder
            if not self.is_develop:
                raise InstallError(f"{folder} is complete and never changed, but {changed}.")
            say(f"{name}: made from something else, is made again")
        started = time.monotonic()
        clear(folder)
        say(f"{name}: installing ...")
        folder.mkdir(parents=True)
        (folder / STARTED).touch()
        make(folder)
        record = {"name": name, "made_from": made_from, **describe(folder)}
        (folder / STARTED).unlink(missing_ok=True)
        write_whole(folder / COMPLETE, json.dumps(record, indent=2) + "\n")
        say(f"{name}: installed, {time.monotonic() - started:.1f} s")
        return folder

    def site_accelerator(self, app: Path) -> str:
        """Ask the app's own Python what the site file names: this one has no YAML."""
        program = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1], 'rb'))['engines']))"
        site = self.arguments.site
        text = run([app / "bin" / "python", "-c", program, site], f"{site} names no engines; give --engine.")
        accelerators = [engine["accelerator"] for engine in json.loads(text) if engine["kind"] == "venv"]
        if not accelerators or accelerators[0] not in ACCELERATORS:
            raise InstallError(f"{site} has no engine of the kind venv to install; give --engine cuda, rocm or cpu.")
        for other in sorted(set(accelerators) - {accelerators[0]}):
            say(f"{site.name} also has engines for {other}: run this again with --engine {other}")
        return str(accelerators[0])


def engine_lock(accelerator: str) -> Path:
    """Return the lock file; for ROCm that of CUDA, from which it takes the version of vLLM."""
    return REPOSITORY / "requirements" / f"engine-{'cpu' if accelerator == 'cpu' else 'cuda'}.lock"


def engine_name(accelerator: str, lock: Path) -> str:
    """Name an engine as site.yml does."""
    return f"vllm-{accelerator}{architecture_suffix()}-{vllm_version(lock)}"


def architecture_suffix() -> str:
    """A shared prefix may hold one folder for each processor architecture; script.sh adds the same to `app`."""
    machine = platform.machine()
    return "" if machine == "x86_64" else f"-{machine}"


def app_version() -> str:
    text = (REPOSITORY / "webapp" / "llm_hoster" / "__init__.py").read_text()
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if not found:
        raise InstallError("webapp/llm_hoster/__init__.py has no __version__.")
    return found.group(1)


def sha256(*paths: Path) -> str:
    """Digest files, and folders with all their files, names included."""
    digest = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if is_source(file))
        for file in files:
            digest.update(f"{file.relative_to(path.parent)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def is_source(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts and not file.parent.name.endswith(".egg-info")


def read_installed(folder: Path) -> dict[str, Any] | None:
    """Return what installed.json says, None while the folder is not complete."""
    try:
        installed: dict[str, Any] = json.loads((folder / COMPLETE).read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InstallError(f"{folder / COMPLETE} is damaged ({error}). Remove {folder} and run this again.") from error
    return installed


def is_made_from(installed: dict[str, Any], made_from: dict[str, Any]) -> bool:
    recorded = installed.get("made_from", {})
    return all(value is None or recorded.get(key) == value for key, value in made_from.items())


def check_python(folder: Path) -> None:
    """Refuse a venv whose Python was removed: it looks complete and no session could start from it."""
    python = folder / "bin" / "python"
    if python.is_symlink() and not python.exists():
        raise InstallError(f"{python} points to a Python that is gone. Remove {folder} and run this again.")


def clear(folder: Path) -> None:
    """Remove what an interrupted run or an earlier content left; never a folder that is not ours."""
    if not folder.exists():
        return
    is_ours = (folder / STARTED).exists() or (folder / COMPLETE).exists() or not any(folder.iterdir())
    if not is_ours:
        raise InstallError(f"{folder} was not made by bin/install. Move it away or remove it, then run this again.")
    if not (folder / COMPLETE).exists():
        say(f"{folder.parent.name}/{folder.name}: incomplete, is made again")
    # First out of the way in one step: half removed, it could no longer be told from a folder that is not ours.
    removed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    folder.rename(removed)
    shutil.rmtree(removed)


def describe(folder: Path) -> dict[str, Any]:
    """Say what is in the folder, for a person who looks into installed.json later."""
    python = folder / "bin" / "python"
    said: dict[str, Any] = {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": None,
        "versions": {},
    }
    if python.exists():
        program = (
            "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
        )
        said["python"] = platform.python_version()
        said["versions"] = dict(sorted(json.loads(run([python, "-c", program], "")).items()))
    return said


def write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)


@contextmanager
def only_one(prefix: Path) -> Iterator[None]:
    """Hold the prefix; a second bin/install at the same time is refused."""
    try:
        prefix.mkdir(parents=True, exist_ok=True)
        lock = (prefix / ".lock").open("a")
    except OSError as error:
        raise InstallError(f"{prefix} cannot be written: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InstallError(f"Another bin/install is at work in {prefix}. Wait for its end.") from error
        except OSError as error:
            # Lustre mounted without flock: the one who installs sees to it that nobody else does at the same time.
            say(f"{prefix}: this file system has no locks ({error.strerror}); do not run bin/install twice at once")
        yield


def next_steps(prefix: Path, app: Path, engine: str, accelerator: str) -> str:
    """Tell the administrator what to write into site.yml and how to try the engine."""
    gpu = "" if accelerator == "cpu" else " --gres=GPU"
    command = shlex.join([str(app / "bin" / "llm-hoster"), "verify", "--prefix", str(prefix), "--engine", engine])
    return f"""
In config/site.yml:

    prefix: {json.dumps(str(prefix))}
    app: "{app.name.removesuffix(architecture_suffix())}"
    engines:
      - {{name: "{engine}", kind: "venv", accelerator: "{accelerator}"}}

then write the form, in the folder of the OnDemand app:

    {shlex.quote(str(app / "bin" / "llm-hoster"))} configure

and let the engine answer once, on a node of its kind. PARTITION, ACCOUNT and GPU are those of any such job here:

    sbatch --partition=PARTITION --account=ACCOUNT{gpu} --time=00:30:00 --wrap {shlex.quote(command)}
"""


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()

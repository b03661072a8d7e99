"""
What vLLM has compiled: each user's own, and one for all that `llm-hoster warm` fills.

vLLM unpickles it and loads libraries from it, so whoever writes it runs code as everybody who reads it. Each user has
a folder of their own, and takes over from the shared one only what root or the owner of the prefix alone can write.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llm_hoster.engine.model.prelude import SilentPrelude
from llm_hoster.engine.record.job_log import say

FOLDER = "compiled"
STAMP = "warm.json"
SEEDED = ".seeded"
SEED_PREFIX = ".seed-"
# A session that was killed while it copied leaves its copy behind.
SEED_LEFT_S = 3600.0
MIB = 2**20
READABLE_FOLDER = READABLE_PROGRAM = 0o755
READABLE_FILE = 0o644

# All that is made by compilers, for one kind of GPU and one installation of vLLM.
VARIABLES = {
    "VLLM_CACHE_ROOT": "vllm",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "TORCH_EXTENSIONS_DIR": "torch_extensions",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "DG_JIT_CACHE_DIR": "deep_gemm",
    "TILELANG_CACHE_DIR": "tilelang",
    "TVM_FFI_CACHE_DIR": "tvm_ffi",
    "CUTE_DSL_CACHE_DIR": "cute_dsl",
    "AITER_JIT_DIR": "aiter",
}


class UnsafeCacheError(Exception):
    """The shared cache is not what only the installing account can have written."""


@dataclass(frozen=True)
class CompileCache:
    """
    `own` is the user's, for one engine and one GPU type: within it vLLM tells models and settings apart by itself.

    `shared` has one folder for each model, below the prefix.
    """

    own: Path
    prefix: Path
    shared: Path

    @classmethod
    def of(
        cls, engine: str, gpu_type: str, model: str, *, cache_dir: Path, prefix: Path, runtime_dir: Path
    ) -> CompileCache:
        """Make the user's own folder; where others could write to it, take one that ends with the session."""
        own = cache_dir / FOLDER
        try:
            for part in ("", engine, gpu_type):
                own = own / part
                _make_private(own)
        except (OSError, UnsafeCacheError) as error:
            say("engine", f"compiled code is not kept: {error}")
            own = runtime_dir / FOLDER
        return cls(own, prefix, shared_folder(prefix, engine, gpu_type, model))

    def variables(self, engine_env: Mapping[str, str]) -> dict[str, str]:
        """Give what to set for vLLM; what the site sets itself for this engine stays."""
        return {name: str(self.own / folder) for name, folder in VARIABLES.items() if name not in engine_env}

    def seed(self) -> str | None:
        """
        Take over what the shared cache has and the own one lacks; return what was done, None where there is nothing.

        Raise UnsafeCacheError when the shared one is not to be trusted, OSError when it cannot be copied. vLLM may
        start meanwhile: each file comes at once, and none is replaced.
        """
        if not self.shared.is_dir():
            return None
        owners = {0, self.prefix.stat().st_uid}
        began = time.monotonic()
        for folder in (self.prefix / FOLDER, self.shared.parent.parent, self.shared.parent):
            require_safe(os.lstat(folder), folder, owners)
        seeded = self.own / SEEDED / self.shared.name
        stamp = _read_stamp(self.shared, owners)
        with contextlib.suppress(OSError):
            if seeded.read_bytes() == stamp:
                return None
        self.own.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_left_seeds(self.own)
        with tempfile.TemporaryDirectory(prefix=SEED_PREFIX, dir=self.own) as name:
            copy = Path(name) / "copy"
            size = sum(_copy_checked(self.shared, copy, owners))
            _merge(copy, self.own)
        seeded.parent.mkdir(mode=0o700, exist_ok=True)
        seeded.write_bytes(stamp)
        return f"compiled code was taken over ({size / MIB:.0f} MiB in {time.monotonic() - began:.1f} s)"


def shared_folder(prefix: Path, engine: str, gpu_type: str, model: str) -> Path:
    return prefix / FOLDER / engine / gpu_type / model


def publish(shared: Path, environment: Mapping[str, str], stamp: str) -> int:
    """
    Add what a start with this environment has compiled to the shared folder of its model; return the bytes.

    Readers see the folder as it was or as it will be. The account that does this must own the prefix, or be root.
    """
    for folder in reversed([shared.parent, *list(shared.parent.parents)[:2]]):
        if not folder.is_dir():
            folder.mkdir()
            folder.chmod(READABLE_FOLDER)
    with tempfile.TemporaryDirectory(prefix=SEED_PREFIX, dir=shared.parent) as name:
        new, old = Path(name) / "new", Path(name) / "old"
        new.mkdir()
        sources = {shared: new} | {
            Path(environment[variable]): new / folder
            for variable, folder in VARIABLES.items()
            if variable in environment
        }
        for source, target in sources.items():
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        (new / STAMP).write_text(stamp)
        size = _make_readable(new)
        if shared.exists():
            os.rename(shared, old)
        os.rename(new, shared)
    return size


class CompileCacheSeed(SilentPrelude):
    """A prelude that nobody waits for: vLLM looks for compiled code long after its start."""

    name = "compile_cache"

    def __init__(self, cache: CompileCache) -> None:
        self._cache = cache

    def start(self, notify: Callable[[], None]) -> None:
        self.is_done = True
        threading.Thread(target=self._seed, name="compile cache", daemon=True).start()

    def _seed(self) -> None:
        try:
            done = self._cache.seed()
        except (OSError, UnsafeCacheError) as error:
            done = f"the shared compiled code is left alone: {error}"
        if done is not None:
            say("engine", done)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_safe(os.lstat(folder), folder, {os.getuid()})


def require_safe(status: os.stat_result, path: Path, owners: set[int]) -> None:
    """Raise UnsafeCacheError unless it is a folder or a file of one of these that nobody else can write."""
    if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
        raise UnsafeCacheError(f"{path} is neither a file nor a folder")
    if status.st_uid not in owners:
        raise UnsafeCacheError(f"{path} belongs to user {status.st_uid}, expected one of {sorted(owners)}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeCacheError(f"{path} can be written by others than its owner")


def _read_stamp(shared: Path, owners: set[int]) -> bytes:
    require_safe(os.lstat(shared), shared, owners)
    folder = os.open(shared, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with _open_checked(STAMP, folder, shared / STAMP, owners) as file:
            return file.read()
    finally:
        os.close(folder)


def _open_checked(name: str, folder: int, path: Path, owners: set[int]) -> BinaryIO:
    """What is checked is what is read: the file that is open, whatever its name stands for a moment later."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        require_safe(os.fstat(descriptor), path, owners)
    except UnsafeCacheError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _copy_checked(source: Path, target: Path, owners: set[int]) -> Iterator[int]:
    """Copy for the user alone; give the size of each file."""
    for root, folders, files, descriptor in os.fwalk(source, follow_symlinks=False):
        here = Path(root)
        require_safe(os.fstat(descriptor), here, owners)
        for name in folders:
            require_safe(os.stat(name, dir_fd=descriptor, follow_symlinks=False), here / name, owners)
        into = target / here.relative_to(source)
        into.mkdir(mode=0o700, parents=True)
        for name in files:
            with _open_checked(name, descriptor, here / name, owners) as file:
                mode = 0o700 if os.fstat(file.fileno()).st_mode & stat.S_IXUSR else 0o600
                yield _write(into / name, file, mode)


def _write(path: Path, source: BinaryIO, mode: int) -> int:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        shutil.copyfileobj(source, file, MIB)
        return file.tell()


def _merge(source: Path, target: Path) -> None:
    """Move what is not there; a link fails where the name is taken, so that nothing of vLLM's is replaced."""
    for root, _, files in os.walk(source):
        into = target / Path(root).relative_to(source)
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in files:
            if name != STAMP:
                with contextlib.suppress(FileExistsError):
                    os.link(Path(root) / name, into / name)


def _remove_left_seeds(own: Path) -> None:
    for path in own.glob(f"{SEED_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > SEED_LEFT_S:
                shutil.rmtree(path, ignore_errors=True)


def _make_readable(folder: Path) -> int:
    """For all to read and for the owner alone to write, and without links; return the bytes."""
    size = 0
    for root, folders, files in os.walk(folder):
        os.chmod(root, READABLE_FOLDER)
        for name in [*folders, *files]:
            path = Path(root) / name
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                path.unlink()
            elif path.is_file():
                status = path.stat()
                size += status.st_size
                path.chmod(READABLE_PROGRAM if status.st_mode & stat.S_IXUSR else READABLE_FILE)
    return size

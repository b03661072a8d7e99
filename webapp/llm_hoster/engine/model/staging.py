"""
A copy of the model on the node's own disk, where the site asks for one (`stage_dir` in site.yml).

This module as a program copies and then stays, because a copy is kept as long as somebody holds its lock: sessions of
one user on one node share one copy, and whoever comes last may remove it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.engine.failures.failure import Failure
from llm_hoster.engine.model.model_link import make_link
from llm_hoster.engine.model.page_cache import MISTRAL
from llm_hoster.engine.model.weight_files import local_folder, weight_files
from llm_hoster.engine.process.child import Child
from llm_hoster.engine.record.job_log import say
from llm_hoster.regular_file import open_regular

GIB = 2**30
MIB = 2**20
PIECE_BYTES = 64 * MIB
BLOCK_BYTES = 4 * MIB
THREADS = 8
REPORT_S = 1.0
# vLLM writes to this disk too while it starts.
SPARE_BYTES = 2 * GIB
# Weights in forms that vLLM would not read, beside those that it does.
OTHER_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".ot"}
COMPLETE = ".complete"
LOCK_SUFFIX = ".lock"
READY = "staged"
NOT_STAGED = "not staged: "
PROGRAM = "llm_hoster.engine.model.staging"
LOG = "staging.log"


class Staging:
    """
    The prelude: copies, or lets vLLM read from where the model lies and says why.

    vLLM is told a link (`model_link.py`), which is made when it is known where it leads.
    """

    name = "staging"
    title = "Copy the model to the node's disk"
    failure: Failure | None = None

    def __init__(
        self,
        model: str,
        environment: Mapping[str, str],
        stage_dir: Path,
        name: str,
        tmp_dir: Path,
        *,
        load_format: str = "safetensors",
    ) -> None:
        """
        `model` is a folder, or a hub id that vLLM's `environment` leads to by the time this starts.

        `name` is the model's in the catalogue.
        """
        self.detail = ""
        self.is_done = False
        self._name = name
        self._model_name = model
        self._environment = environment
        self._stage_dir = stage_dir
        self._flags = ["--mistral"] if load_format == MISTRAL else []
        self._model = self._copy = Path(model)
        self._tmp_dir = tmp_dir
        self._said: list[str] = []
        self._has_ended = False
        self._notify: Callable[[], None] = lambda: None
        self._child = Child("staging", log=tmp_dir.parent / LOG, on_line=self._take_line, on_end=self._take_end)
        self.children: list[Child] = []

    def start(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        folder = local_folder(self._model_name, self._environment)
        if folder is None:
            self.failure = Failure(f"{self._model_name}: there is no such model on this node to be copied.", None)
            return
        self._model, self._copy = folder, copy_of(folder, self._stage_dir)
        command = [sys.executable, "-m", PROGRAM, str(self._model), str(self._copy), *self._flags]
        # By the folder in it the next session here finds this process if all of ours is killed (leftovers.py).
        self._child.start(command, os.environ | {"TMPDIR": str(self._tmp_dir)}, cwd=self._tmp_dir)
        self.children = [self._child]

    def look(self) -> None:
        line = self._said[-1] if self._said else ""
        if self.is_done:
            return
        if line == READY:
            self._finish(self._copy, f"the model was copied to {self._copy}")
        elif line.startswith(NOT_STAGED):
            self._finish(self._model, f"the model is read from where it lies: {line.removeprefix(NOT_STAGED)}")
        elif self._has_ended:
            self._finish(self._model, f"the model is read from where it lies: copying it ended with {line!r}")
        else:
            self.detail = line

    def _finish(self, folder: Path, sentence: str) -> None:
        make_link(self._tmp_dir, self._name, folder)
        self.detail, self.is_done = "", True
        say("engine", sentence)

    def _take_line(self, line: str) -> None:
        self._said.append(line.strip())
        self._notify()

    def _take_end(self) -> None:
        self._has_ended = True
        self._notify()


def copy_of(model: Path, stage_dir: Path) -> Path:
    """Where the copy lies: the name is for people, the digest tells folders of one name apart."""
    real = os.path.realpath(model)
    return folder_in(stage_dir) / f"{Path(real).name[:60]}-{hashlib.sha256(real.encode()).hexdigest()[:12]}"


def folder_in(stage_dir: Path) -> Path:
    """`stage_dir` may be one that all users share, such as /tmp."""
    return stage_dir / f"llmh-models-{os.getuid()}"


def remove_staged(stage_dir: Path) -> None:
    """Remove the copies that nobody uses any more; called when the engine has ended for good."""
    with contextlib.suppress(OSError):
        for path in folder_in(stage_dir).glob(f"*{LOCK_SUFFIX}"):
            with open(path, "rb") as lock, contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                # The lock file stays: who opened it a moment ago must find the others at the same one.


@dataclass(frozen=True)
class _File:
    source: Path
    name: Path
    size: int


class _Copying:
    """Copies all files in large pieces, several at a time."""

    def __init__(self, files: Sequence[_File], target: Path) -> None:
        self._files = files
        self._target = target
        self._done = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        total = sum(file.size for file in self._files)
        began = time.monotonic()
        with ThreadPoolExecutor(THREADS) as threads:
            work = [threads.submit(self._copy, *piece) for piece in self._pieces()]
            while not all(each.done() for each in work):
                time.sleep(min(REPORT_S, 0.05 + 0.1 * (time.monotonic() - began)))
                rate = self._done / MIB / max(0.001, time.monotonic() - began)
                _tell(f"{self._done / GIB:.1f} of {total / GIB:.1f} GiB, {rate:.0f} MiB/s")
            for each in work:
                each.result()

    def _pieces(self) -> Iterator[tuple[_File, int]]:
        for file in self._files:
            path = self._target / file.name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(path, "wb") as new:
                os.truncate(new.fileno(), file.size)
            for start in range(0, file.size, PIECE_BYTES):
                yield file, start

    def _copy(self, file: _File, start: int) -> None:
        buffer = memoryview(bytearray(BLOCK_BYTES))
        end = min(start + PIECE_BYTES, file.size)
        with open_regular(file.source) as source, open(self._target / file.name, "r+b") as target:
            while start < end:
                got = os.preadv(source.fileno(), [buffer[: end - start]], start)
                if got == 0:
                    raise OSError(0, "it became shorter while it was copied", str(file.source))
                os.pwrite(target.fileno(), buffer[:got], start)
                start += got
                with self._lock:
                    self._done += got


def stage(model: Path, copy: Path, *, is_mistral: bool) -> str:
    """Copy unless somebody has; hold the lock until this process ends. Return the last line to say."""
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = copy.parent.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        return f"{NOT_STAGED}{copy.parent} can be written by others, and who writes it decides what is served."
    lock = os.open(copy.with_name(copy.name + LOCK_SUFFIX), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        _wait_for(lock, fcntl.LOCK_SH)
        if (copy / COMPLETE).exists():
            return READY
        # Nobody uses it, or somebody else is about to make it as well: one of us gets the lock first.
        _wait_for(lock, fcntl.LOCK_EX)
        if not (copy / COMPLETE).exists():
            refusal = _make_copy(model, copy, is_mistral=is_mistral)
            if refusal is not None:
                return NOT_STAGED + refusal


def _make_copy(model: Path, copy: Path, *, is_mistral: bool) -> str | None:
    shutil.rmtree(copy, ignore_errors=True)
    try:
        files = list(_files_of(model, is_mistral=is_mistral))
        total, free = sum(file.size for file in files), shutil.disk_usage(copy.parent).free
        if total + SPARE_BYTES > free:
            return f"it has {total / GIB:.1f} GiB, and {copy.parent} has {free / GIB:.1f} GiB left."
        copy.mkdir(mode=0o700)
        _Copying(files, copy).run()
        (copy / COMPLETE).touch()
    except OSError as error:
        shutil.rmtree(copy, ignore_errors=True)
        return f"{error.filename or copy}: {error.strerror}."
    return None


def _files_of(model: Path, *, is_mistral: bool) -> Iterator[_File]:
    """All but weights that vLLM does not read; links, as the Hugging Face cache has them, become files."""
    wanted = {path.name for path in weight_files(model, is_mistral=is_mistral)}
    for root, folders, names in os.walk(model):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root) / name
            is_wanted = name in wanted if root == str(model) else False
            if path.is_file() and (is_wanted or path.suffix not in OTHER_WEIGHTS):
                yield _File(path, path.relative_to(model), path.stat().st_size)


def _wait_for(lock: int, kind: int) -> None:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        _tell("another session copies it")
        fcntl.flock(lock, kind)


def _tell(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m llm_hoster.engine.model.staging")
    parser.add_argument("model", type=Path)
    parser.add_argument("copy", type=Path)
    parser.add_argument("--mistral", action="store_true", help="the weights are in Mistral's own layout")
    options = parser.parse_args()
    os.umask(0o077)
    try:
        last = stage(options.model, options.copy, is_mistral=options.mistral)
    except OSError as error:
        last = f"{NOT_STAGED}{error.filename}: {error.strerror}."
    _tell(last)
    if last == READY:
        signal.pause()


if __name__ == "__main__":
    main()

"""
Read a model's weights into the node's page cache while vLLM still imports.

vLLM maps the files and reads them page by page, tens of seconds after its start. What shared storage does slowly in
that manner it does fast in large pieces, several at a time, and before anybody waits for it.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from llm_hoster.engine.job.job_memory import available_bytes
from llm_hoster.engine.model.weight_files import ALL, Part, local_folder, total_bytes, weight_files
from llm_hoster.regular_file import open_regular

GIB = 2**30
PIECE_BYTES = 64 * 2**20
BLOCK_BYTES = 4 * 2**20
# One page of each of these is asked for to know whether a piece is there.
PROBE_BYTES = 2**20
# Of what was read a moment ago, this much at least must be there.
KEPT_SHARE = 0.5
# As many as vLLM takes for its own prefetching. All reads wait for the storage, hardly any for a core.
THREADS = 8
NICENESS = 10
MISTRAL = "mistral"  # one of vLLM's formats
# Python, torch and CUDA in each process of vLLM; what is left of the job's memory may hold pages of files.
LEFT_GIB = 4
LEFT_GIB_PER_GPU = 4


def reader_command(
    source: str,
    environment: Mapping[str, str],
    *,
    num_gpus: int,
    on_gpu: bool,
    load_format: str = "safetensors",
    part: Part = ALL,
) -> list[str] | None:
    """
    Give the program that reads `source`, a folder or a hub id, or None when there is nothing to gain.

    `environment` is vLLM's: it says where the Hugging Face cache lies. On several nodes each runs its own, with the
    number of its GPUs and its part of the layers.
    """
    folder = local_folder(source, environment)
    # InstantTensor reads past the page cache.
    if folder is None or load_format == "instanttensor":
        return None
    # Isolated, since on other nodes it has vLLM's environment, in which PYTHONPATH may be set.
    command = [sys.executable, "-I", "-m", "llm_hoster.engine.model.page_cache", str(folder)]
    command += ["--leave-gib", str(LEFT_GIB + LEFT_GIB_PER_GPU * num_gpus)]
    if part != ALL:
        command += ["--part", f"{part.number}/{part.count}"]
    if load_format == MISTRAL:
        command.append("--mistral")
    # Without a GPU the weights stay in the job's memory a second time.
    return command if on_gpu else [*command, "--leave-weights"]


@dataclass
class PageCache:
    """Reads whole files in order, up to a number of bytes, and gives up where nothing stays in the cache."""

    limit_bytes: int
    read_bytes: int = 0
    cached_bytes: int = 0
    gave_up: str | None = None
    _planned_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fill(self, files: Sequence[Path]) -> None:
        pieces = self._pieces(files)
        with ThreadPoolExecutor(THREADS) as threads:
            for work in [threads.submit(self._work, pieces) for _ in range(THREADS)]:
                work.result()

    def _work(self, pieces: Iterator[tuple[Path, int, int]]) -> None:
        """Take the next piece as long as there is one: all threads stay close together, in vLLM's order."""
        try:
            while True:
                with self._lock:
                    piece = None if self.gave_up else next(pieces, None)
                if piece is None:
                    return
                self._read(*piece)
        except OSError as error:
            self.gave_up = f"{error.filename or 'a file'} cannot be read ({error.strerror})"

    def _pieces(self, files: Sequence[Path]) -> Iterator[tuple[Path, int, int]]:
        """Files are opened piece by piece, so that few are open at a time."""
        for path in files:
            size = path.stat().st_size
            for start in range(0, size, PIECE_BYTES):
                end = min(start + PIECE_BYTES, size)
                self._planned_bytes += end - start
                if self._planned_bytes > self.limit_bytes:
                    self.gave_up = "the job's memory holds no more"
                    return
                yield path, start, end

    def _read(self, path: Path, start: int, end: int) -> None:
        buffer = bytearray(BLOCK_BYTES)
        with open_regular(path) as file:
            descriptor = file.fileno()
            if _cached_share(descriptor, start, end) == 1:
                with self._lock:
                    self.cached_bytes += end - start
                return
            position = start
            while position < end:
                got = os.preadv(descriptor, [memoryview(buffer)[: end - position]], position)
                if got == 0:
                    break  # The file has become shorter: vLLM will tell.
                position += got
            # Single pages go missing on any busy machine.
            share = _cached_share(descriptor, start, position)
            if share is not None and share < KEPT_SHARE:
                self.gave_up = "what was read does not stay in the page cache"
        with self._lock:
            self.read_bytes += position - start


def _cached_share(descriptor: int, start: int, end: int) -> float | None:
    """Ask for single bytes that need no waiting; None where this kind of file system does not tell."""
    byte = bytearray(1)
    places = range(start, end, PROBE_BYTES)
    there = 0
    for position in places:
        try:
            there += os.preadv(descriptor, [byte], position, os.RWF_NOWAIT)
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                return None
            raise
    return there / len(places) if places else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m llm_hoster.engine.model.page_cache")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--leave-gib", type=float, default=LEFT_GIB, help="memory that vLLM needs for itself")
    parser.add_argument("--leave-weights", action="store_true", help="and as much as the weights have")
    parser.add_argument("--part", default="0/1", help="this node's number, from 0, and how many share the layers")
    parser.add_argument("--mistral", action="store_true", help="the weights are in Mistral's own layout")
    options = parser.parse_args()
    os.nice(NICENESS)
    began = time.monotonic()
    number, count = map(int, options.part.split("/"))
    files = weight_files(options.folder, Part(number, count), is_mistral=options.mistral)
    total = total_bytes(files)
    left = options.leave_gib * GIB + (total if options.leave_weights else 0)
    cache = PageCache(max(0, int(available_bytes(os.environ) - left)))
    cache.fill(files)
    print(
        f"read {cache.read_bytes / GIB:.2f} of {total / GIB:.2f} GiB into the page cache in "
        f"{time.monotonic() - began:.1f} s, {cache.cached_bytes / GIB:.2f} GiB were there"
        + (f"; stopped because {cache.gave_up}" if cache.gave_up else ""),
        flush=True,
    )


if __name__ == "__main__":
    main()

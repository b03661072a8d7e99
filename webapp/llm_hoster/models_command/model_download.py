"""A model from the hub into a cache, by one process at a time, laid out as huggingface_hub and vLLM read it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from llm_hoster.engine.record.atomic_file import replace_file
from llm_hoster.errors import HubError
from llm_hoster.hub import Hub
from llm_hoster.hub_cache import REVISION, find_model, locks_of, repository_of
from llm_hoster.lease import Lease, Owner
from llm_hoster.models_command.disk_space import require_space, write_fault
from llm_hoster.models_command.file_download import FileDownload
from llm_hoster.models_command.hub_listing import HubFile, Listing, list_files
from llm_hoster.models_command.progress import Progress, amount
from llm_hoster.models_command.selection import select, total

LOCK = "llm-hoster-pull"
# Files at a time: one connection alone gets a part of what a cluster's link to the hub carries.
CONNECTIONS = 8
FILE_MODE, FOLDER_MODE = 0o644, 0o755
OTHERS_MAY_READ = 0o005


class ModelDownload:
    """`say` gets the lines of progress; it is called by one thread at a time."""

    def __init__(self, model: str, hub: Hub, say: Callable[[str], None], *, is_mistral: bool = False) -> None:
        self.model = model
        self._hub = hub
        self._say = say
        self._is_mistral = is_mistral
        self._cache = hub.cache
        self._repository = repository_of(model, hub.cache)
        self._blobs = self._repository / "blobs"
        self._cancelled = threading.Event()

    def run(self) -> Listing:
        """Raise HubError with a sentence when the model is not in the cache afterwards, whole and checked."""
        listing = list_files(self.model, self._hub)
        files = select(listing, self._hub, is_mistral=self._is_mistral)
        try:
            self._make_folders()
            lease = Lease(locks_of(self.model, self._cache) / LOCK)
            lease.wait(lambda owner: self._say(self._waiting(owner, files)))
            try:
                self._fill(listing, files, lease)
            finally:
                lease.release()
        except OSError as error:
            raise write_fault(error, self.model, self._cache) from error
        if find_model(self.model, [self._cache], is_mistral=self._is_mistral) is None:
            raise HubError(
                f"{self.model}: all its files are in {self._cache} now, and yet it is no model that vLLM can load: "
                "expected config.json and weights as safetensors."
            )
        return listing

    def _fill(self, listing: Listing, files: Sequence[HubFile], lease: Lease) -> None:
        # By now another process may have fetched them all.
        missing = list({each.digest: each for each in files if not self._has(each)}.values())
        there = sum(self._part_size(each) for each in missing)
        require_space(self.model, total(missing) - there, self._cache)
        progress = Progress(total(files), self._say, done=total(files) - total(missing))
        self._fetch(listing, missing, progress, lease)
        self._publish(listing, files)

    def _fetch(self, listing: Listing, missing: Sequence[HubFile], progress: Progress, lease: Lease) -> None:
        """Begin the small ones first: what is wrong with a model shows in them."""
        downloads = [
            FileDownload(listing, each, self._blobs / each.digest.text, self._hub, progress.add, self._cancelled)
            for each in missing
        ]

        def run(download: FileDownload) -> None:
            try:
                if lease.lost.is_set():
                    raise HubError(f"{self.model}: this process stood still, and another one goes on. Try again.")
                download.run()
                if download.blob.exists():
                    os.chmod(download.blob, FILE_MODE & self._mode_mask())
            except BaseException:
                self._cancelled.set()
                raise

        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="download") as pool:
            attempts = [pool.submit(run, download) for download in downloads]
            try:
                # One fails and cancels the others, which then end without an error.
                faults = [fault for fault in (attempt.exception() for attempt in attempts) if fault is not None]
            except BaseException:  # Ctrl+C
                self._cancelled.set()
                raise
        if faults:
            raise faults[0]

    def _publish(self, listing: Listing, files: Sequence[HubFile]) -> None:
        """Make the version visible, the reference last: readers see it whole or not at all."""
        snapshot = self._repository / "snapshots" / listing.commit
        for each in files:
            link = snapshot / each.name
            self._make_folder(link.parent)
            target = os.path.relpath(self._blobs / each.digest.text, link.parent)
            if not (link.is_symlink() and os.readlink(link) == target):
                draft = link.with_name(f".{link.name}.{os.getpid()}")
                draft.unlink(missing_ok=True)
                draft.symlink_to(target)
                os.replace(draft, link)
        reference = self._repository / "refs" / REVISION
        self._make_folder(reference.parent)
        replace_file(reference, listing.commit)  # huggingface_hub takes a line end for a part of it.
        os.chmod(reference, FILE_MODE & self._mode_mask())

    def _has(self, file: HubFile) -> bool:
        try:
            return (self._blobs / file.digest.text).stat().st_size == file.size
        except FileNotFoundError:
            return False

    def _part_size(self, file: HubFile) -> int:
        try:
            return min((self._blobs / f"{file.digest.text}.part").stat().st_size, file.size)
        except FileNotFoundError:
            return 0

    def _waiting(self, owner: Owner | None, files: Sequence[HubFile]) -> str:
        there = {each.digest: each.size if self._has(each) else self._part_size(each) for each in files}
        by = f"process {owner.pid} on {owner.host}" if owner else "another process"
        return f"{amount(sum(there.values()), total(files))}, fetched by {by}"

    def _make_folders(self) -> None:
        for folder in (locks_of(self.model, self._cache), self._blobs):
            self._make_folder(folder)

    def _make_folder(self, folder: Path) -> None:
        """The cache itself keeps its mode, which says whom all in it is for."""
        if folder.is_dir():
            return
        if folder == self._cache:
            folder.mkdir(mode=FOLDER_MODE & ~_umask(), parents=True, exist_ok=True)
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        os.chmod(folder, FOLDER_MODE & self._mode_mask())

    def _mode_mask(self) -> int:
        """A cache for everybody stays one, whatever the umask of the account that fills it."""
        return ~0 if self._cache.stat().st_mode & OTHERS_MAY_READ == OTHERS_MAY_READ else ~0o077


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask

"""One file from the hub into the cache: begun where the last attempt was cut, hashed as it comes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from llm_hoster.errors import HubError
from llm_hoster.hub import Answer, Hub, Request
from llm_hoster.models_command.digest import Hash, feed
from llm_hoster.models_command.hub_files import why_refused
from llm_hoster.models_command.hub_listing import TRY_AGAIN, HubFile, Listing

# To connect, and for each piece: a hub that sends a byte now and then is slow, one that sends none is gone.
TIMEOUT_S = (15.0, 60.0)
# Attempts one after the other of which none brought a byte.
ATTEMPTS = 6
FIRST_WAIT_S = 1.0
# Of a piece that is cut in the middle nothing is kept.
PIECE_BYTES = 64 * 1024
FAILURES = (requests.RequestException, OSError, ValueError)


@dataclass(frozen=True)
class FileDownload:
    """`blob` is where the file belongs; it appears there only when its hash is right."""

    listing: Listing
    file: HubFile
    blob: Path
    hub: Hub
    on_bytes: Callable[[int], None]
    cancelled: threading.Event

    @property
    def part(self) -> Path:
        """What has come of it. Another name than those of huggingface_hub, which throws such files away."""
        return self.blob.with_name(f"{self.blob.name}.part")

    def run(self) -> None:
        """Raise HubError when it cannot be had, OSError when it cannot be written; do nothing more once cancelled."""
        for _ in range(2):  # What a cut attempt left may be wrong: then all of it once again.
            if self._fetch() or self.cancelled.is_set():
                return
        raise HubError(
            f"{self.listing.model}: {self.file.name} came twice with other content than the hub's own hash of it. "
            "Is there a proxy in between that changes files? Try again later, or another mirror (HF_ENDPOINT)."
        )

    def _fetch(self) -> bool:
        """Give whether the file is there and right; what is wrong is thrown away."""
        descriptor = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as part:
            hash_ = self.file.digest.hash(self.file.size)
            feed(hash_, part, self.on_bytes, self.cancelled)
            writer = _Writer(part.fileno(), part.tell(), hash_, self)
            failures, wait_s = 0, FIRST_WAIT_S
            while writer.size < self.file.size and not self.cancelled.is_set():
                before = writer.size
                reason = self._attempt(writer)
                failures = 0 if writer.size > before else failures + 1
                wait_s = FIRST_WAIT_S if writer.size > before else wait_s * 2
                if failures >= ATTEMPTS:
                    raise HubError(f"{self.file.name} of {self.listing.model} cannot be had: {reason}.")
                if reason:
                    self.cancelled.wait(wait_s)
            if self.cancelled.is_set():
                return False
            is_right = writer.size == self.file.size and writer.hash.hexdigest() == self.file.digest.text
            if is_right:
                os.ftruncate(part.fileno(), self.file.size)
                os.fsync(part.fileno())
        if is_right:
            os.replace(self.part, self.blob)
        else:
            self.part.unlink(missing_ok=True)
            self.on_bytes(-writer.size)
        return is_right

    def _attempt(self, writer: _Writer) -> str:
        """Read on from where the part ends, as far as it goes; say why not to the end."""
        headers = {"Accept-Encoding": "identity"}
        if writer.size:
            headers["Range"] = f"bytes={writer.size}-"
        request = Request(
            self.listing.model, self.file.name, 0, 0.0, self.listing.commit, headers, self.listing.needs_login
        )
        try:
            response = self.hub.open(request, TIMEOUT_S)
        except FAILURES as error:
            return f"the connection failed ({type(error).__name__})"
        with response:
            if response.status_code in TRY_AGAIN:
                return f"{self.hub.address} answered with status {response.status_code}"
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                writer.begin_anew()
                return ""
            if not response.ok:
                answer = Answer(response.status_code, b"", None, "", response.headers.get("X-Error-Code", ""))
                raise HubError(
                    f"{self.file.name} of {self.listing.model} cannot be had from {self.hub.address}: "
                    f"{why_refused(answer, self.listing.model, self.hub)}"
                )
            if writer.size and not self._continues(response, writer.size):
                writer.begin_anew()
            return writer.take(response)

    def _continues(self, response: requests.Response, size: int) -> bool:
        """A hub or a proxy that knows no ranges sends everything once more."""
        begins = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        return response.status_code == requests.codes.partial_content and begins == str(size)


class _Writer:
    """
    The part of a file that has come, on disk and in the hash.

    Each byte is written to its own place: should two processes ever be at it, they write the same.
    """

    def __init__(self, descriptor: int, size: int, hash_: Hash, download: FileDownload) -> None:
        self._descriptor = descriptor
        self._download = download
        self.size = size
        self.hash = hash_

    def begin_anew(self) -> None:
        self._download.on_bytes(-self.size)
        self.size = 0
        self.hash = self._download.file.digest.hash(self._download.file.size)

    def take(self, response: requests.Response) -> str:
        """Write what comes, and no more than there should be; raise OSError when the disk does not take it."""
        pieces = response.iter_content(PIECE_BYTES)
        while self.size < self._download.file.size and not self._download.cancelled.is_set():
            try:
                piece = next(pieces, b"")
            except FAILURES as error:
                return f"the connection was cut ({type(error).__name__})"
            if not piece:
                return "it ended too early"
            piece = piece[: self._download.file.size - self.size]
            written = 0
            while written < len(piece):
                written += os.pwrite(self._descriptor, piece[written:], self.size + written)
            self.hash.update(piece)
            self.size += len(piece)
            self._download.on_bytes(len(piece))
        return ""

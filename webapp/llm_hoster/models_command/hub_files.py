"""The small files of a model at the Hugging Face hub, and what its cache already has of them."""

from __future__ import annotations

import re
from dataclasses import replace

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.configuration import CONFIG
from llm_hoster.fit.json_file import parse_json
from llm_hoster.fit.safetensors import INDEX, INDEX_BYTES_MAX, LENGTH_BYTES, is_size, total_size
from llm_hoster.hub import ENDPOINT, Answer, Hub, Request
from llm_hoster.hub_cache import REVISION, find_in_caches
from llm_hoster.models_command.model_files import FolderFiles, Origin, WeightsSize

WEIGHTS = ("model.safetensors", "consolidated.safetensors")
INDICES = (INDEX, "consolidated.safetensors.index.json")
FILE_TIMEOUT_S = 30.0
COMMIT = re.compile(r"[0-9a-f]{40}")
REFUSED = (401, 403)


class HubFiles:
    """Asks without a login first, so that the token goes out only where it is needed, and gated models show."""

    def __init__(self, model: str, hub: Hub) -> None:
        self.model = model
        self.is_gated = False
        self._hub = hub
        self._needs_login = False
        snapshot = find_in_caches(model, [hub.cache], CONFIG)
        self._cached = FolderFiles(snapshot) if snapshot else None
        self._revision = snapshot.name if snapshot else REVISION

    def read(self, name: str, bytes_max: int) -> bytes | None:
        cached = self._cached.read(name, bytes_max) if self._cached else None
        if cached is not None:
            return cached
        try:
            answer = self._ask(self._request(name, bytes_max))
        except ArchitectureError:
            if self._cached and name != CONFIG:
                return None  # The cache is enough to go on with; what it lacks stays unknown.
            raise
        return answer.content if answer else None

    def origin(self, name: str) -> Origin:
        """A page of the hub, even when a mirror was asked: the commit says which version it was."""
        return {"page": f"{ENDPOINT}/{self.model}/blob/{self._revision}/{name}"}

    def weights_size(self) -> WeightsSize | None:
        if self._cached and (size := self._cached.weights_size()):
            name = INDEX if (self._cached.folder / INDEX).is_file() else WEIGHTS[0]
            return WeightsSize(size.bytes, self.origin(name))
        for name in INDICES:
            index = self.read(name, INDEX_BYTES_MAX)
            if index is not None:
                size_in_index = _total_size(index)
                return WeightsSize(size_in_index, self.origin(name)) if size_in_index else None
        for name in WEIGHTS:
            size_of_file = self._size_of_one_file(name)
            if size_of_file:
                return WeightsSize(size_of_file, self.origin(name))
        return None

    def _size_of_one_file(self, name: str) -> int | None:
        """Take the length of the header from the size of the file: the first bytes tell both."""
        try:
            beginning = {"Range": f"bytes=0-{LENGTH_BYTES - 1}"}
            answer = self._ask(replace(self._request(name, LENGTH_BYTES), headers=beginning))
        except ArchitectureError:
            if self._cached:
                return None
            raise
        if answer is None or answer.total is None or len(answer.content) < LENGTH_BYTES:
            return None
        size = answer.total - LENGTH_BYTES - int.from_bytes(answer.content, "little")
        return size if is_size(size) else None

    def _request(self, name: str, bytes_max: int) -> Request:
        return Request(
            self.model, name, bytes_max, FILE_TIMEOUT_S, revision=self._revision, with_login=self._needs_login
        )

    def _ask(self, request: Request) -> Answer | None:
        """Give the answer, None when the model has no such file; raise ArchitectureError with what to do."""
        if self._hub.is_offline:
            raise ArchitectureError(
                f"{self.model} is not in the cache {self._hub.cache}, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is "
                "set: unset it, or name a folder with the model."
            )
        answer = self._hub.ask(request)
        if answer.status in REFUSED:
            self.is_gated = self.is_gated or answer.code == "GatedRepo"
            if self._hub.token and not self._needs_login:
                self._needs_login = True
                answer = self._hub.ask(replace(request, with_login=True))
        if answer.status in (200, 206):
            if COMMIT.fullmatch(answer.commit):
                self._revision = answer.commit
            return answer
        if answer.status == 404 and request.name != CONFIG:
            return None
        raise ArchitectureError(
            f"{request.name} of {self.model} cannot be had from {self._hub.address}: "
            f"{why_refused(answer, self.model, self._hub)}"
        )


def why_refused(answer: Answer, model: str, hub: Hub) -> str:
    """Say what an answer other than the file means, and what to do."""
    page = f"{ENDPOINT}/{model}"
    login = "put a token into the variable HF_TOKEN or run `hf auth login`"
    if answer.status in REFUSED and answer.code == "GatedRepo":
        if hub.token:
            return f"it asks people to accept its terms, and your account has not, or waits for an answer: see {page}."
        return f"it asks people to accept its terms first: accept them at {page}, then {login}."
    if answer.status in REFUSED or answer.code == "RepoNotFound":
        return f"there is no such model, or it is private: check the spelling at {page}, or {login}."
    if answer.status == 404:
        return f"there is no such model, or it has no {CONFIG}: look at {page}/tree/main."
    if answer.status == 429:
        return "it was asked too often: wait some minutes."
    return f"it answered with status {answer.status}: try again later."


def _total_size(index: bytes) -> int | None:
    try:
        return total_size(parse_json(INDEX, index))
    except ArchitectureError:
        return None

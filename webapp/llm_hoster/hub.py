"""A model's small files on the Hugging Face hub, looked for as vLLM will: same cache, same endpoint, same login."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import requests

from llm_hoster.errors import ArchitectureError
from llm_hoster.hub_cache import REVISION, cache_of, expanded, first_set, home_of
from llm_hoster.regular_file import open_regular

ENDPOINT = "https://huggingface.co"
# Names of huggingface_hub/constants.py; the first that is set counts.
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE = {"1", "ON", "YES", "TRUE"}
TOKEN_BYTES_MAX = 4096
CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Request:
    """One file of a model; `bytes_max` ends the reading, without an error."""

    model: str
    name: str
    bytes_max: int
    timeout_s: float
    revision: str = REVISION
    headers: Mapping[str, str] = field(default_factory=dict)
    with_login: bool = True

    @property
    def path(self) -> str:
        return f"{self.model}/resolve/{self.revision}/{quote(self.name)}"


@dataclass(frozen=True)
class DescriptionRequest(Request):
    """What the hub knows of a model: its version, and all its files with their sizes and hashes."""

    @property
    def path(self) -> str:
        return f"api/models/{self.model}/revision/{self.revision}?blobs=true"


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    total: int | None
    """The size of the whole file where only its beginning was asked for."""
    commit: str
    code: str
    """The hub's own word for an error, such as GatedRepo."""


@dataclass(frozen=True)
class Hub:
    """The token is kept out of `repr` so that no log can show it."""

    endpoint: str
    cache: Path
    is_offline: bool
    token: str | None = field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Hub:
        return cls(
            endpoint=(environment.get("HF_ENDPOINT") or ENDPOINT).rstrip("/"),
            cache=cache_of(environment),
            is_offline=(first_set(environment, OFFLINE_VARIABLES) or "").upper() in TRUE,
            token=_read_token(environment),
        )

    @property
    def address(self) -> str:
        """A mirror's address may hold a login, which nothing must show."""
        return self.endpoint.rpartition("@")[2]

    def fetch(self, model: str, name: str, *, bytes_max: int, timeout_s: float) -> bytes:
        """Give one file; raise ArchitectureError with a sentence when it cannot be had in time."""
        answer = self.ask(Request(model, name, bytes_max + 1, timeout_s))
        if answer.status != requests.codes.ok:
            reason = f"it answered with status {answer.status}"
        elif len(answer.content) > bytes_max:
            reason = f"it is larger than {bytes_max // 2**20} MiB"
        else:
            return answer.content
        raise ArchitectureError(f"{name} of {model} cannot be had from {self.address}: {reason}.")

    def ask(self, request: Request) -> Answer:
        """Give the hub's answer, whatever its status; raise ArchitectureError when there is none in time."""
        found: list[Answer | str] = []
        deadline = time.monotonic() + request.timeout_s
        # A thread that may be left behind: nothing else ends a look-up of a name on a node without a way out.
        thread = threading.Thread(target=lambda: found.append(self._get(request, deadline)), name="hub", daemon=True)
        thread.start()
        thread.join(request.timeout_s)
        answer = found[0] if found else f"no answer in {request.timeout_s:.0f} s"
        if isinstance(answer, str):
            raise ArchitectureError(
                f"{request.name} of {request.model} cannot be had from {self.address}: {answer}. "
                "Is there a way to it from here?"
            )
        return answer

    def open(self, request: Request, timeout_s: tuple[float, float]) -> requests.Response:
        """Begin an answer, to be read by the caller; `timeout_s`: to connect, and for each piece."""
        token = self.token if request.with_login else None

        def authorise(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            # requests asks ~/.netrc for a login unless it gets a function; on a redirect elsewhere it drops ours.
            if token is not None:
                prepared.headers["Authorization"] = f"Bearer {token}"
            return prepared

        url = f"{self.endpoint}/{request.path}"
        return requests.get(url, auth=authorise, headers=request.headers, timeout=timeout_s, stream=True)

    def _get(self, request: Request, deadline: float) -> Answer | str:
        """Give the answer, or why there is none, in words that hold no address: a login may be in it."""
        left_s = max(0.1, deadline - time.monotonic())
        try:
            with self.open(request, (left_s, left_s)) as response:
                content = _body(response, request.bytes_max, deadline) if response.ok else b""
                return "it came too slowly" if content is None else _answer(response, content)
        except (requests.RequestException, OSError, ValueError) as error:
            return f"the connection failed ({type(error).__name__})"


def _body(response: requests.Response, bytes_max: int, deadline: float) -> bytes | None:
    """Read so many bytes at most; None when they do not come in time."""
    content = bytearray()
    for chunk in response.iter_content(min(CHUNK_BYTES, bytes_max)):
        content += chunk
        if len(content) >= bytes_max:
            break
        if time.monotonic() > deadline:
            return None
    return bytes(content[:bytes_max])


def _answer(response: requests.Response, content: bytes) -> Answer:
    # A redirect to where the file lies carries the hub's own headers, the place that it leads to does not.
    replies = [*response.history, response]
    return Answer(
        status=response.status_code,
        content=content,
        total=_total(response),
        commit=next((each.headers["X-Repo-Commit"] for each in replies if "X-Repo-Commit" in each.headers), ""),
        code=response.headers.get("X-Error-Code", ""),
    )


def _total(response: requests.Response) -> int | None:
    if response.status_code == requests.codes.partial_content:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isascii() and total.isdigit() else None


def _read_token(environment: Mapping[str, str]) -> str | None:
    if environment.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in TRUE:
        return None
    token = first_set(environment, TOKEN_VARIABLES)
    if token is None:
        named = environment.get("HF_TOKEN_PATH")
        try:
            with open_regular(expanded(named) if named else home_of(environment) / "token") as file:
                token = file.read(TOKEN_BYTES_MAX).decode()
        except (OSError, ValueError):
            return None
    return token.strip() or None
